"""What the keeper says unasked, and what follows from it.

A report comes in the middle of the event loop; what follows takes a container's lock and may have to wait for
it. So it becomes a task of its own, and the engine does not stop before all of them are done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from cutaway.container import records
from cutaway.container.execs import KILLED, Execs
from cutaway.container.shelf import Emit, Kept, Shelf
from cutaway.container.takeover import clear_kernel
from cutaway.settings import Settings


class Ended(Protocol):
    """What is to be done when a container has ended: `lifecycle.Containers.ended`."""

    def __call__(
        self, kept: Kept, code: int, *, oom: bool, finished: str, pid: int = 0
    ) -> Coroutine[Any, Any, None]:
        """Record it and tell everybody."""


class Listener:
    """Hears of ends and of detached clients, and of the keeper's own death."""

    def __init__(self, shelf: Shelf, execs: Execs, settings: Settings, ended: Ended, emit: Emit) -> None:
        self._shelf, self._execs, self._settings = shelf, execs, settings
        self._ended, self._emit = ended, emit
        self._tasks: set[asyncio.Task[None]] = set()

    def says(self, event: dict[str, Any]) -> None:
        """One report: exit of a container, exit of an exec, detach."""
        if event.get("exec_id"):
            self._execs.ended(event)
            return
        kept = self._shelf.get(event["id"])
        if kept is None:
            return
        if event["event"] == "exit":
            code, finished = event["code"], records.rfc3339(event["time"])
            self._do(self._ended(kept, code, oom=event["oom"], finished=finished, pid=event["pid"]))
        elif event["event"] == "detach":
            self._emit("detach", kept.record)

    def lost(self) -> None:
        """The keeper died and took every container along."""
        self._execs.all_ended()
        for kept in self._shelf:
            if kept.record.state.running:
                clear_kernel(kept.record, self._settings)
                self._do(self._ended(kept, KILLED, oom=False, finished=records.now()))

    async def idle(self) -> None:
        """Wait until all that was heard is recorded."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
