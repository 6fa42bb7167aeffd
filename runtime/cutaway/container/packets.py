"""How engine and keeper speak: JSON packets over a local socket, with open files as luggage.

A SOCK_SEQPACKET unix socket keeps the borders of messages, so a packet is one `sendmsg` and one `recvmsg`,
without lengths and without a parser. Descriptors travel beside the bytes as SCM_RIGHTS (unix(7)): that is how
the keeper gets a client's connection. A packet must fit the socket's send buffer; a larger one (an
environment may have two megabytes) is written to a memfd, and the packet only says so: `{"in_file": true}`
with that descriptor first.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Sequence
from typing import Any

BUFFER_BYTES = 1 << 20
LARGEST_DIRECT = 96 * 1024
MOST_FDS = 8


def listen(path: str) -> socket.socket:
    """The keeper's end: a non-blocking socket at `path`, for its owner. What was at `path` is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        os.unlink(path)  # noqa: PTH108 - the keeper does without pathlib
    except FileNotFoundError:
        pass
    mask = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(mask)
    listener.listen(16)
    return listener


def connect(path: str) -> socket.socket:
    """The engine's end, non-blocking.

    Raises FileNotFoundError or ConnectionRefusedError where no keeper listens.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    enlarge(connection)
    connection.setblocking(False)
    return connection


def enlarge(connection: socket.socket) -> None:
    """Ask for a large send buffer; the kernel grants what net.core.wmem_max allows."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)


def send(connection: socket.socket, packet: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one packet whole. Raises BlockingIOError when the peer has not read yet: nothing was sent then."""
    data = json.dumps(packet, separators=(",", ":")).encode()
    if len(data) <= LARGEST_DIRECT:
        socket.send_fds(connection, [data], list(fds))
        return
    large = os.memfd_create("packet")
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(large, view) :]
        socket.send_fds(connection, [b'{"in_file":true}'], [large, *fds])
    finally:
        os.close(large)


def receive(connection: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next packet and its descriptors, which the caller owns and which are closed on exec.

    `(None, [])` when the peer has gone. Raises BlockingIOError when there is none yet.
    """
    data, fds = receive_fds(connection, LARGEST_DIRECT + 1)
    if not data:
        return None, []
    packet: dict[str, Any] = json.loads(data)
    if packet.get("in_file"):
        with open(fds.pop(0), "rb") as large:
            large.seek(0)
            packet = json.load(large)
    return packet, fds


def receive_fds(connection: socket.socket, size: int) -> tuple[bytes, list[int]]:
    """One message and its descriptors, closed on exec: `socket.recv_fds` drops the flag that asks for it."""
    fds = array.array("i")
    room = socket.CMSG_LEN(MOST_FDS * fds.itemsize)
    data, luggage, _, _ = connection.recvmsg(size, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in luggage:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return data, list(fds)
