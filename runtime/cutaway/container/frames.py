"""The engine as a client of its own streams: what a program prints, taken out of Docker's frames."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

_FRAME = struct.Struct(">B3xL")


async def frames(stream: socket.socket) -> AsyncIterator[bytes]:
    """The data of each frame until the end of the stream, which is closed then."""
    stream.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=stream)
    try:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                _, length = _FRAME.unpack(await reader.readexactly(_FRAME.size))
                yield await reader.readexactly(length)
    finally:
        writer.close()
