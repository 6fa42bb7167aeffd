"""What the views draw: the layers under an image or a container, and the namespaces of containers.

Everything is read when it is asked for, in a thread, from where it really is: the unpacked layers, the upper
directory, `/proc`. A value to print is told as a word with numbers (`{"word": "processes", "n": 4}`), so
that each client says it in its own language, or as `text` that is the same in all.
"""

from __future__ import annotations

import asyncio
from typing import Any

from cutaway.api import layer_views, namespace_views
from cutaway.api.answers import json_answer
from cutaway.api.routing import Answer, Call, Routes
from cutaway.errors import BadInputError

routes = Routes()


@routes.get("/cutaway/images/{name*}/layers/{layer}/files")
async def image_files(call: Call) -> Answer:
    """`GET /cutaway/images/{name}/layers/{n}/files`: what layer `n` (1 is the lowest) has in `path`."""
    image = call.engine.images.resolve(call["name"])
    stack = layer_views.Stack(call.engine, image)
    found = await asyncio.to_thread(stack.files, _number(call["layer"]), call.text("path", "/"))
    return json_answer(found)


@routes.get("/cutaway/images/{name*}/layers")
async def image_layers(call: Call) -> Answer:
    """`GET /cutaway/images/{name}/layers`: each line of the history with its layer; `name`: what to call
    it.
    """
    image = call.engine.images.resolve(call["name"])
    stack = layer_views.Stack(call.engine, image, call.text("name"))
    return json_answer(await asyncio.to_thread(stack.tell))


@routes.get("/cutaway/containers/{id}/layers/{layer}/files")
async def container_files(call: Call) -> Answer:
    """`GET /cutaway/containers/{id}/layers/{n}/files`: `n` may be `writable`."""
    stack = await _stack_of_container(call)
    layer = call["layer"] if call["layer"] == "writable" else _number(call["layer"])
    return json_answer(await asyncio.to_thread(stack.files, layer, call.text("path", "/")))


@routes.get("/cutaway/containers/{id}/layers")
async def container_layers(call: Call) -> Answer:
    """`GET /cutaway/containers/{id}/layers`: those of its image, and the writable one."""
    stack = await _stack_of_container(call)
    return json_answer(await asyncio.to_thread(stack.tell))


@routes.get("/cutaway/namespaces")
async def namespaces(call: Call) -> Answer:
    """`GET /cutaway/namespaces`: `containers` are names or ids with commas; without it all that run."""
    looking = call.engine.looking
    names = [name for name in call.text("containers").split(",") if name]
    if not names:
        running = await looking.list(all=False, limit=None, size=False, filters={})
        names = [found["Id"] for found in reversed(running)]
    inspected = [await looking.inspect(name) for name in names]
    return json_answer(await asyncio.to_thread(namespace_views.tell, inspected))


async def _stack_of_container(call: Call) -> layer_views.Stack:
    inspected: dict[str, Any] = await call.engine.looking.inspect(call["id"])
    image = call.engine.images.get(inspected["Image"])
    return layer_views.Stack(call.engine, image, inspected["Config"]["Image"], inspected)


def _number(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise BadInputError(f"layer {text} is not a number", "layers are counted from 1, the lowest")
    return int(text)
