"""Further processes in a running container: `exec`, in two requests, as Docker has it."""

from __future__ import annotations

import contextlib

import msgspec

from cutaway.api.answers import json_answer, no_content
from cutaway.api.routing import Answer, Call, Routes
from cutaway.api.streams import Hijack
from cutaway.api.talking import size_of
from cutaway.container.execs import ExecBody
from cutaway.errors import CutawayError

routes = Routes()


class ExecStart(msgspec.Struct, rename="pascal"):
    """The body of `POST /exec/{id}/start`."""

    detach: bool = False
    tty: bool = False
    console_size: list[int] | None = None


@routes.post("/containers/{id}/exec")
async def create(call: Call) -> Answer:
    """`POST /containers/{id}/exec`."""
    body = await call.body(ExecBody)
    return json_answer({"Id": call.engine.containers.execs.create(call["id"], body)}, 201)


@routes.post("/exec/{id}/start")
async def start(call: Call) -> Answer:
    """`POST /exec/{id}/start`: the connection becomes the process's input and output, unless `Detach`."""
    execs = call.engine.containers.execs
    body = await call.body(ExecStart)
    execution = execs.check(call["id"])
    if body.detach:
        await execs.start(call["id"], console_size=body.console_size)
        return no_content(200)
    with Hijack(call.request) as hijack:
        hijack.upgrade(multiplexed=not execution.body.tty)
        with contextlib.suppress(CutawayError):  # told on the stream, and by the exit code
            await execs.start(call["id"], hijack.socket, console_size=body.console_size, early=hijack.early)
    return hijack.finish()


@routes.post("/exec/{id}/resize")
async def resize(call: Call) -> Answer:
    """`POST /exec/{id}/resize`: `h` and `w` in characters."""
    await call.engine.containers.execs.resize(call["id"], *size_of(call))
    return no_content(200)


@routes.get("/exec/{id}/json")
async def inspect(call: Call) -> Answer:
    """`GET /exec/{id}/json`: whether it runs, and its exit code."""
    return json_answer(call.engine.containers.execs.inspect(call["id"]))
