"""Containers: make, start, watch, end, remove."""

from __future__ import annotations

import asyncio
import contextlib
import struct

import msgspec
from aiohttp import web

from cutaway.api.answers import json_answer, no_content
from cutaway.api.routing import Answer, Call, Routes
from cutaway.api.streams import Hijack
from cutaway.container import attaching
from cutaway.container import logs as reading
from cutaway.container.records import rfc3339
from cutaway.container.spec import CreateBody
from cutaway.errors import BadInputError

routes = Routes()

_FRAME = struct.Struct(">B3xL")
_FRAME_NUMBER = {"stdin": 0, "stdout": 1, "stderr": 2}


@routes.post("/containers/create")
async def create(call: Call) -> Answer:
    """`POST /containers/create`: `name`; says the id and what was not taken as it was asked."""
    body = await call.body(CreateBody)
    container_id, warnings = await call.engine.containers.create(call.text("name"), body)
    return json_answer({"Id": container_id, "Warnings": warnings}, 201)


@routes.get("/containers/json")
async def listing(call: Call) -> Answer:
    """`GET /containers/json`: `all`, `limit`, `size`, `filters`."""
    found = await call.engine.containers.list(
        all=call.flag("all"), limit=call.number("limit"), size=call.flag("size"), filters=call.filters()
    )
    return json_answer(found)


@routes.get("/containers/{id}/json")
async def inspect(call: Call) -> Answer:
    """`GET /containers/{id}/json`: `size`."""
    return json_answer(await call.engine.containers.inspect(call["id"], size=call.flag("size")))


@routes.post("/containers/{id}/start")
async def start(call: Call) -> Answer:
    """`POST /containers/{id}/start`: 304 when it runs already."""
    started = await call.engine.containers.start(call["id"])
    return no_content(204 if started else 304)


@routes.post("/containers/{id}/stop")
async def stop(call: Call) -> Answer:
    """`POST /containers/{id}/stop`: `t` seconds of grace, `signal`; 304 when it does not run."""
    stopped = await call.engine.containers.stop(
        call["id"], timeout=call.number("t"), signal=call.text("signal")
    )
    return no_content(204 if stopped else 304)


@routes.post("/containers/{id}/restart")
async def restart(call: Call) -> Answer:
    """`POST /containers/{id}/restart`: `t`, `signal`."""
    await call.engine.containers.restart(call["id"], timeout=call.number("t"), signal=call.text("signal"))
    return no_content()


@routes.post("/containers/{id}/kill")
async def kill(call: Call) -> Answer:
    """`POST /containers/{id}/kill`: `signal`, by name or number."""
    await call.engine.containers.kill(call["id"], call.text("signal") or "SIGKILL")
    return no_content()


@routes.post("/containers/{id}/pause")
async def pause(call: Call) -> Answer:
    """`POST /containers/{id}/pause`."""
    await call.engine.containers.pause(call["id"])
    return no_content()


@routes.post("/containers/{id}/unpause")
async def unpause(call: Call) -> Answer:
    """`POST /containers/{id}/unpause`."""
    await call.engine.containers.unpause(call["id"])
    return no_content()


@routes.post("/containers/{id}/rename")
async def rename(call: Call) -> Answer:
    """`POST /containers/{id}/rename`: `name`."""
    await call.engine.containers.rename(call["id"], call.text("name"))
    return no_content()


@routes.post("/containers/{id}/resize")
async def resize(call: Call) -> Answer:
    """`POST /containers/{id}/resize`: `h` and `w` in characters."""
    await call.engine.containers.resize(call["id"], *size_of(call))
    return no_content(200)


@routes.delete("/containers/{id}")
async def remove(call: Call) -> Answer:
    """`DELETE /containers/{id}`: `force`, `v`."""
    if call.flag("link"):
        raise BadInputError("links are not kept by this engine", "remove the container without --link")
    await call.engine.containers.remove(call["id"], force=call.flag("force"), volumes=call.flag("v"))
    return no_content()


@routes.post("/containers/{id}/wait", streaming=True)
async def wait(call: Call) -> Answer:
    """`POST /containers/{id}/wait`: `condition` is not-running, next-exit or removed.

    The headers are sent as soon as it listens for the end: `docker run` starts the container then.
    """
    condition = call.text("condition") or "not-running"
    if condition not in ("not-running", "next-exit", "removed"):
        raise BadInputError(f'invalid condition: "{condition}"')
    ended = asyncio.ensure_future(call.engine.containers.wait(call["id"], condition))
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    try:
        await asyncio.sleep(0)  # an unknown container is told by status
        if ended.done():
            return json_answer({"StatusCode": ended.result()})
        await response.prepare(call.request)
        code = await ended
    finally:
        ended.cancel()
    await response.write(msgspec.json.encode({"StatusCode": code}) + b"\n")
    return response


@routes.post("/containers/{id}/attach", streaming=True)
async def attach(call: Call) -> Answer:
    """`POST /containers/{id}/attach`: `stream`, `logs`, `stdin`, `stdout`, `stderr`, `detachKeys`."""
    containers = call.engine.containers
    await call.request.read()
    terminal = containers.has_terminal(call["id"])
    keys = call.text("detachKeys")
    attaching.detach_keys(keys)  # what is wrong has to be told before the connection changes hands
    with Hijack(call.request) as hijack:
        wanted = attaching.Wanted(
            stdin=call.flag("stdin"),
            stdout=call.flag("stdout"),
            stderr=call.flag("stderr"),
            logs=call.flag("logs"),
            stream=call.flag("stream"),
            detach_keys=keys,
            early=hijack.early,
        )
        hijack.upgrade(multiplexed=not terminal)
        await containers.attach(call["id"], hijack.socket, wanted)
    return hijack.finish()


@routes.get("/containers/{id}/logs", streaming=True)
async def logs(call: Call) -> Answer:
    """`GET /containers/{id}/logs`: `follow`, `stdout`, `stderr`, `since`, `until`, `timestamps`, `tail`.

    Framed like an attached stream, or raw for a container with a terminal.
    """
    containers = call.engine.containers
    wanted = reading.Wanted(
        stdout=call.flag("stdout"),
        stderr=call.flag("stderr"),
        since=rfc3339(call.moment("since") or 0),
        until=rfc3339(moment) if (moment := call.moment("until")) else "",
        tail=_tail(call.text("tail")),
        timestamps=call.flag("timestamps"),
    )
    if not (wanted.stdout or wanted.stderr):
        raise BadInputError("Bad parameters: you must choose at least one stream")
    terminal = containers.has_terminal(call["id"])
    batches = await containers.logs(call["id"], wanted, follow=call.flag("follow"))
    kind = "raw" if terminal else "multiplexed"
    response = web.StreamResponse(headers={"Content-Type": f"application/vnd.docker.{kind}-stream"})
    await response.prepare(call.request)
    async with contextlib.aclosing(batches):
        async for stream, data in batches:
            header = b"" if terminal else _FRAME.pack(_FRAME_NUMBER[stream], len(data))
            await response.write(header + data)
    return response


@routes.get("/containers/{id}/top")
async def top(call: Call) -> Answer:
    """`GET /containers/{id}/top`: the container's processes; `ps_args` is not taken."""
    return json_answer(await call.engine.containers.top(call["id"]))


@routes.get("/containers/{id}/changes")
async def changes(call: Call) -> Answer:
    """`GET /containers/{id}/changes`: what was changed (0), added (1) or deleted (2) since the image."""
    return json_answer(await call.engine.containers.changes(call["id"]))


@routes.post("/containers/prune")
async def prune(call: Call) -> Answer:
    """`POST /containers/prune`: removes all that do not run."""
    return json_answer(await call.engine.containers.prune(call.filters()))


def _tail(text: str) -> int | None:
    """`tail`: a number of lines; "all", nothing and less than none mean everything."""
    return int(text) if text.isdecimal() else None


def size_of(call: Call) -> tuple[int, int]:
    """`h` and `w` of a query. Raises BadInputError for what no terminal has."""
    height, width = call.number("h") or 0, call.number("w") or 0
    if not (0 <= height < 65536 and 0 <= width < 65536):
        raise BadInputError(f"invalid terminal size: {height} by {width}")
    return height, width
