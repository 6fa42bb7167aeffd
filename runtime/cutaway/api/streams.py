"""Hijacked connections: from HTTP to a plain two-way stream.

`attach` and `exec start` begin as HTTP and go on as raw bytes in both directions, with each direction ending
on its own (`echo x | docker run -i …` closes the sending side first and still wants the answer). An HTTP
server cannot keep such a half-open connection, so it is taken away from it:

1. the request is read and the server stops reading;
2. the socket is duplicated, the server's own descriptor is closed without a word;
3. `101 UPGRADED` is written on the duplicate;
4. the duplicate goes to the keeper, which copies between it and the container by itself. The engine is out
   of the way and may even be killed.
"""

from __future__ import annotations

import socket

from aiohttp import web

UPGRADED = (
    b"HTTP/1.1 101 UPGRADED\r\n"
    b"Content-Type: application/vnd.docker.%s-stream\r\n"
    b"Connection: Upgrade\r\n"
    b"Upgrade: tcp\r\n\r\n"
)
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.%s-stream\r\n\r\n"


class Hijack:
    """A connection on its way out of the HTTP server. A context manager, so that no error leaks it."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        transport.pause_reading()
        original: socket.socket = transport.get_extra_info("socket")
        self.socket = socket.socket(fileno=socket.dup(original.fileno()))
        self._taken = False

    def __enter__(self) -> Hijack:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        if not self._taken and self._request.transport is not None:
            self._request.transport.resume_reading()

    def upgrade(self, *, multiplexed: bool) -> None:
        """Answer the request; from here on the connection belongs to whoever holds `socket`.

        Multiplexed streams carry Docker's eight-byte headers, the others (TTY) are raw.
        """
        kind = b"multiplexed" if multiplexed else b"raw"
        wanted = "upgrade" in self._request.headers.get("Connection", "").lower()
        self._taken = True
        self.socket.setblocking(True)
        self.socket.sendall((UPGRADED if wanted else PLAIN) % kind)
        self.socket.setblocking(False)

    @property
    def early(self) -> bytes:
        """What the client sent behind its request before it was answered."""
        return bytes(getattr(self._request.protocol, "_message_tail", b""))

    def finish(self) -> web.Response:
        """Close the server's own descriptor without telling the client; the answer is for nobody."""
        self._request.protocol.force_close()
        return web.Response(status=101)
