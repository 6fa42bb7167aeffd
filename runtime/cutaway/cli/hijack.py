"""A hijacked connection: after its answer to `attach` or `exec`, HTTP is over: the bytes are a program's own.

With a terminal they go as they are. Without one, the engine puts eight bytes before each piece of output,
so that standard output and standard error share the connection: the stream's number, three zeros, the
length as a big-endian 32-bit number (Docker Engine API, "Attach to a container").

Closing our sending half tells the program that its standard input has ended, while its output still comes.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any, Protocol

from cutaway.cli.streams import Source, Streams

STDERR = 2
CHUNK = 65536


class _Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Connection:
    """What is left of a request when its connection was handed over. Takes a `requests.Response`."""

    def __init__(self, answer: Any) -> None:
        # http.client reads headers through this buffer, which may already hold the program's first bytes.
        self._buffer = answer.raw._fp.fp
        raw = self._buffer.raw
        self._socket: socket.socket = getattr(raw, "_sock", raw)

    def receive(self) -> bytes:
        """Some bytes, as soon as there are any; empty at the end."""
        try:
            return bytes(self._buffer.read1(CHUNK))
        except (ConnectionError, ValueError):  # ValueError: closed by another thread
            return b""

    def read(self, size: int, /) -> bytes:
        """Exactly `size` bytes, fewer only at the end."""
        pieces = []
        while size:
            try:
                piece = self._buffer.read1(size)
            except (ConnectionError, ValueError):
                break
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def send(self, data: bytes) -> None:
        """Give the program bytes on its standard input. Raises OSError when it is gone."""
        self._socket.sendall(data)

    def end_input(self) -> None:
        """Say that its standard input has ended."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End the connection from another thread: a reader that waits gets the end."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


def demultiplex(reader: _Reader) -> Iterator[tuple[int, bytes]]:
    """Docker's frames: stream number and bytes. A frame that was cut off gives what is there of it."""
    while len(header := reader.read(8)) == 8:
        number, length = struct.unpack(">BxxxL", header)
        while length:
            data = reader.read(min(length, CHUNK))
            if not data:
                return
            yield number, data
            length -= len(data)


def feed(connection: Connection, source: Source) -> threading.Thread:
    """Send what comes from `source` until it ends, beside the reading of the answer."""

    def run() -> None:
        with contextlib.suppress(OSError):
            while data := source.read(CHUNK):
                connection.send(data)
        connection.end_input()

    thread = threading.Thread(target=run, name="cutaway-stdin", daemon=True)
    thread.start()
    return thread


def show(connection: Connection, streams: Streams, *, tty: bool) -> None:
    """Write what the program says to the streams until it has ended."""
    if tty:
        while data := connection.receive():
            streams.stdout(data)
        return
    for number, data in demultiplex(connection):
        (streams.stderr if number == STDERR else streams.stdout)(data)
