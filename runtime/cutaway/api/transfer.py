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
from collections.abc import AsyncIterator, Callable
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


class _Outlet:
    """The file that a blocking writer is given: its bytes go to the client."""

    def __init__(self, response: web.StreamResponse, loop: asyncio.AbstractEventLoop) -> None:
        self._response = response
        self._loop = loop
        self.gone = False

    def write(self, data: bytes) -> int:
        if self.gone:
            raise ConnectionResetError("the client is gone")
        asyncio.run_coroutine_threadsafe(self._response.write(bytes(data)), self._loop).result()
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


async def download(call: Call, write: Callable[[IO[bytes]], object], content_type: str) -> Answer:
    """Answer with what `write(file)` writes, in a thread. What may fail has to be checked before."""
    response = web.StreamResponse(headers={"Content-Type": content_type})
    await response.prepare(call.request)
    outlet = _Outlet(response, asyncio.get_running_loop())
    try:
        await asyncio.to_thread(write, outlet)  # type: ignore[arg-type]
    finally:
        outlet.gone = True
    return response
