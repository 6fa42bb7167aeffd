"""Talking with containers: what they write and have written, what is typed, the size of their terminal."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator

from cutaway.container import attaching, logs
from cutaway.container.lifecycle import Containers
from cutaway.errors import ConflictError, NotSupportedError
from cutaway.settings import Settings


class Talking:
    """Input and output of the containers of one engine. To be used from its event loop."""

    def __init__(self, settings: Settings, containers: Containers) -> None:
        self.settings, self.keeper = settings, containers.keeper
        self.shelf, self.emit = containers.shelf, containers.emit

    async def logs(
        self, name: str, wanted: logs.Wanted, *, follow: bool = False
    ) -> AsyncGenerator[tuple[str, bytes], None]:
        """(stream, bytes) from the log; with `follow` until the container ends.

        Raises NotSupportedError for a container without a log.
        """
        kept = self.shelf.find(name)
        if kept.record.host.log_config.type == "none":
            raise NotSupportedError(
                "configured logging driver does not support reading", "it was made with --log-driver none"
            )
        path = self.settings.container(kept.record.id) / "json.log"
        if not follow:
            return logs.read(path, wanted)
        return logs.follow(path, wanted, running=lambda: kept.record.state.running, ended=kept.next_exit)

    def has_terminal(self, name: str) -> bool:
        """Whether its streams are raw. Raises NotFoundError."""
        return self.shelf.find(name).record.config.tty

    async def attach(self, name: str, connection: socket.socket, wanted: attaching.Wanted) -> None:
        """Tie a client's connection to the container, running or not yet; see `attaching`."""
        kept = self.shelf.find(name)
        await attaching.attach(self.keeper, kept, self.settings, connection, wanted)
        self.emit("attach", kept.record)

    async def resize(self, name: str, rows: int, columns: int) -> None:
        """Tell the terminal its size. Raises ConflictError when the container does not run."""
        kept = self.shelf.find(name)
        if not kept.record.state.running:
            raise ConflictError(f"container {kept.record.id} is not running")
        await self.keeper.request("resize", id=kept.record.id, rows=rows, columns=columns)
        self.emit("resize", kept.record, height=str(rows), width=str(columns))
