"""Containers talked with: attached streams, logs, the size of a terminal."""

from __future__ import annotations

import contextlib
import struct

from aiohttp import web

from cutaway.api.answers import no_content
from cutaway.api.routing import Answer, Call, Routes
from cutaway.api.streams import Hijack
from cutaway.container import attaching
from cutaway.container import logs as reading
from cutaway.container.records import rfc3339
from cutaway.errors import BadInputError

routes = Routes()

_FRAME = struct.Struct(">B3xL")
_FRAME_NUMBER = {"stdin": 0, "stdout": 1, "stderr": 2}


@routes.post("/containers/{id}/resize")
async def resize(call: Call) -> Answer:
    """`POST /containers/{id}/resize`: `h` and `w` in characters."""
    await call.engine.talking.resize(call["id"], *size_of(call))
    return no_content(200)


@routes.post("/containers/{id}/attach", streaming=True)
async def attach(call: Call) -> Answer:
    """`POST /containers/{id}/attach`: `stream`, `logs`, `stdin`, `stdout`, `stderr`, `detachKeys`."""
    talking = call.engine.talking
    await call.request.read()
    terminal = talking.has_terminal(call["id"])
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
        await talking.attach(call["id"], hijack.socket, wanted)
    return hijack.finish()


@routes.get("/containers/{id}/logs", streaming=True)
async def logs(call: Call) -> Answer:
    """`GET /containers/{id}/logs`: `follow`, `stdout`, `stderr`, `since`, `until`, `tail`, and more.

    `timestamps` and `details` stand before each line. Framed like an attached stream, or raw for a
    container with a terminal.
    """
    talking = call.engine.talking
    wanted = reading.Wanted(
        stdout=call.flag("stdout"),
        stderr=call.flag("stderr"),
        since=rfc3339(call.moment("since") or 0),
        until=rfc3339(moment) if (moment := call.moment("until")) else "",
        tail=_tail(call.text("tail")),
        timestamps=call.flag("timestamps"),
        details=call.flag("details"),
    )
    if not (wanted.stdout or wanted.stderr):
        raise BadInputError("Bad parameters: you must choose at least one stream")
    terminal = talking.has_terminal(call["id"])
    batches = await talking.logs(call["id"], wanted, follow=call.flag("follow"))
    kind = "raw" if terminal else "multiplexed"
    response = web.StreamResponse(headers={"Content-Type": f"application/vnd.docker.{kind}-stream"})
    await response.prepare(call.request)
    async with contextlib.aclosing(batches):
        async for stream, data in batches:
            header = b"" if terminal else _FRAME.pack(_FRAME_NUMBER[stream], len(data))
            await response.write(header + data)
    return response


def _tail(text: str) -> int | None:
    """`tail`: a number of lines; "all", nothing and less than none mean everything."""
    return int(text) if text.isdecimal() else None


def size_of(call: Call) -> tuple[int, int]:
    """`h` and `w` of a query. Raises BadInputError for what no terminal has."""
    height, width = call.number("h") or 0, call.number("w") or 0
    if not (0 <= height < 65536 and 0 <= width < 65536):
        raise BadInputError(f"invalid terminal size: {height} by {width}")
    return height, width
