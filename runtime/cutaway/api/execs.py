"""Further processes in a running container: `exec`, in two requests, as Docker has it."""

from __future__ import annotations

import msgspec

from cutaway.api.answers import json_answer, no_content
from cutaway.api.containers import size_of
from cutaway.api.routing import Answer, Call, Routes
from cutaway.api.streams import Hijack

routes = Routes()


class ExecStart(msgspec.Struct, rename="pascal"):
    """The body of `POST /exec/{id}/start`."""

    detach: bool = False
    tty: bool = False
    console_size: tuple[int, int] | None = None


@routes.post("/containers/{id}/exec")
async def create(call: Call) -> Answer:
    """`POST /containers/{id}/exec`."""
    raise NotImplementedError


@routes.post("/exec/{id}/start")
async def start(call: Call) -> Answer:
    """`POST /exec/{id}/start`: the connection becomes the process's input and output, unless `Detach`."""
    raise NotImplementedError


@routes.post("/exec/{id}/resize")
async def resize(call: Call) -> Answer:
    """`POST /exec/{id}/resize`: `h` and `w` in characters."""
    raise NotImplementedError


@routes.get("/exec/{id}/json")
async def inspect(call: Call) -> Answer:
    """`GET /exec/{id}/json`: whether it runs, and its exit code."""
    raise NotImplementedError
