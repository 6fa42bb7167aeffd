"""A client's connection on its way to the keeper, which then copies between it and the container by itself.

With `logs` the client first gets what was written so far. For that the keeper takes the connection but holds
new output back, and says how far the log is at this moment; the engine sends the log up to there and lets
go. So nothing is lost and nothing comes twice.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

from cutaway.container import logs
from cutaway.container.keeper_client import KeeperClient
from cutaway.container.shelf import Kept
from cutaway.errors import BadInputError
from cutaway.settings import Settings

DEFAULT_KEYS = "ctrl-p,ctrl-q"
_HEADER = struct.Struct(">B3xL")
_NUMBERS = {"stdout": 1, "stderr": 2}


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """The parameters of `POST /containers/{id}/attach`. `early`: what the client has sent already."""

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    logs: bool = False
    stream: bool = True
    detach_keys: str = ""
    early: bytes = b""

    @property
    def streams(self) -> list[str]:
        """Output that the client wants to see."""
        return [name for name, wanted in (("stdout", self.stdout), ("stderr", self.stderr)) if wanted]


async def attach(
    keeper: KeeperClient, kept: Kept, settings: Settings, connection: socket.socket, wanted: Wanted
) -> None:
    """Returns when the keeper has the connection; the caller closes its copy.

    Raises BadInputError for the keys.
    """
    record = kept.record
    keys = detach_keys(wanted.detach_keys)
    log = settings.container(record.id) / "json.log"
    if not wanted.stream:
        if wanted.logs:
            await _replay(connection, log, wanted, tty=record.config.tty)
        connection.shutdown(socket.SHUT_WR)
        return
    answer = await keeper.attach(
        connection,
        id=record.id,
        streams=wanted.streams,
        tty=record.config.tty,
        stdin=wanted.stdin and record.config.open_stdin,
        detach_keys=list(keys) if record.config.tty else [],
        held=wanted.logs,
        early=wanted.early.decode("latin-1"),
    )
    if wanted.logs:
        try:
            await _replay(connection, log, wanted, tty=record.config.tty, written=answer["written"])
        finally:
            await keeper.request("release", attachment=answer["attachment"])


def detach_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q` as the bytes that a terminal sends. Raises BadInputError for what is no key."""
    keys = bytearray()
    for key in (text or DEFAULT_KEYS).split(","):
        if match := re.fullmatch(r"ctrl-([a-z@\[\\\]^_])", key.lower()):
            keys.append(ord(match[1].upper()) - 64)
        elif len(key) == 1 and key.isascii():
            keys.append(ord(key))
        else:
            raise BadInputError(
                f"Unknown character: '{key}'", "write keys as ctrl-p,ctrl-q or single letters"
            )
    return bytes(keys)


async def _replay(
    connection: socket.socket,
    log: Path,
    wanted: Wanted,
    *,
    tty: bool,
    written: Sequence[int] | None = None,
) -> None:
    loop = asyncio.get_running_loop()
    connection.setblocking(False)
    shown = logs.Wanted(stdout=wanted.stdout, stderr=wanted.stderr)
    async for stream, data in logs.read(log, shown, written):
        framed = data if tty else _HEADER.pack(_NUMBERS[stream], len(data)) + data
        try:
            await loop.sock_sendall(connection, framed)
        except OSError:  # the client has gone
            return
