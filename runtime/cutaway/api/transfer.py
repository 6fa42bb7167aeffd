"""Large bodies in and out, between the event loop and a thread that blocks.

What unpacks or packs archives is plain blocking code that reads or writes a file. An upload goes to a
temporary file first, because a tar reader wants to seek and because a client that goes away must not be
found out half-way. A download is written by the thread straight into the connection: each `write` waits
until the client has taken what came before, so memory stays small, and fails when the client is gone, which
ends the thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from typing import IO, BinaryIO

from aiohttp import web

from cutaway.api.routing import Answer, Call

CHUNK = 1 << 20


@contextlib.asynccontextmanager
async def uploaded(call: Call) -> AsyncIterator[BinaryIO]:
    """The request's body as a file, read from its start. Gone when the block ends."""
    with tempfile.TemporaryFile(dir=call.engine.settings.tmp) as file:
        async for chunk in call.request.content.iter_chunked(CHUNK):
            if len(chunk) < CHUNK // 4:
                file.write(chunk)
            else:
                await asyncio.to_thread(file.write, chunk)
        file.seek(0)
        yield file


class Outlet:
    """The file that a blocking writer is given: its bytes go to the client, many at a time."""

    def __init__(self, response: web.StreamResponse, loop: asyncio.AbstractEventLoop) -> None:
        self.response = response
        self._loop = loop
        self._held = bytearray()
        self.gone = False

    def write(self, data: bytes) -> int:
        """Take the bytes; waits when the client is slow. ConnectionResetError when it is gone."""
        if self.gone:
            raise ConnectionResetError("the client is gone")
        self._held += data
        if len(self._held) >= CHUNK // 4:
            held, self._held = self._held, bytearray()
            asyncio.run_coroutine_threadsafe(self.response.write(bytes(held)), self._loop).result()
        return len(data)

    def flush(self) -> None:
        """The rest goes out when the writer has finished."""

    async def finish(self) -> None:
        """Send the rest. On the event loop."""
        await self.response.write(bytes(self._held))


@contextlib.asynccontextmanager
async def outlet(
    call: Call, content_type: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Outlet]:
    """Answer with what is written to the outlet in the block, by a thread that is over when it ends.

    What may fail has to be checked before. The answer is `outlet.response`.
    """
    response = web.StreamResponse(headers={"Content-Type": content_type, **(headers or {})})
    await response.prepare(call.request)
    out = Outlet(response, asyncio.get_running_loop())
    try:
        yield out
        await out.finish()
    except BaseException:
        if call.request.transport:
            call.request.transport.abort()  # the status is out: only a broken stream can tell the failure
        raise
    finally:
        out.gone = True


async def download(call: Call, write: Callable[[IO[bytes]], object], content_type: str) -> Answer:
    """Answer with what `write(file)` writes, in a thread. What may fail has to be checked before."""
    async with outlet(call, content_type) as out:
        await asyncio.to_thread(write, out)  # type: ignore[arg-type]
    return out.response
