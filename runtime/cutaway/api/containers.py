"""Containers: make, start, watch, end, remove."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from cutaway.api.answers import json_answer, no_content
from cutaway.api.routing import Answer, Call, Routes
from cutaway.container.spec import CreateBody, UpdateBody
from cutaway.errors import BadInputError

routes = Routes()


@routes.post("/containers/create")
async def create(call: Call) -> Answer:
    """`POST /containers/create`: `name`; says the id and what was not taken as it was asked."""
    body = await call.body(CreateBody)
    container_id, warnings = await call.engine.containers.create(call.text("name"), body)
    return json_answer({"Id": container_id, "Warnings": warnings}, 201)


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


@routes.post("/containers/{id}/update")
async def update(call: Call) -> Answer:
    """`POST /containers/{id}/update`: limits and restart policy; says what was not taken as asked."""
    warnings = await call.engine.updating.update(call["id"], await call.body(UpdateBody))
    return json_answer({"Warnings": warnings or None})


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


@routes.post("/containers/prune")
async def prune(call: Call) -> Answer:
    """`POST /containers/prune`: removes all that do not run."""
    return json_answer(await call.engine.containers.prune(call.filters()))
