"""How running containers are brought to rest: by a signal, by a harder one, or frozen for a while.

A signal goes through the keeper, which is the parent: a pid that it has not collected yet cannot belong to
somebody else. The end itself is not what the signal's sender sees, but what the keeper reports; so whoever
stops a container waits for that, without asking again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal

from cutaway.container.keeper_client import KeeperClient
from cutaway.container.records import PAUSED, RUNNING
from cutaway.container.shelf import Emit, Kept, Shelf
from cutaway.errors import ConflictError
from cutaway.linux.cgroups import Cgroup


class Ending:
    """Signals, and the freezer."""

    def __init__(self, shelf: Shelf, keeper: KeeperClient, instance: str, emit: Emit) -> None:
        self._shelf, self._keeper, self._instance, self._emit = shelf, keeper, instance, emit

    async def end(self, kept: Kept, number: int, timeout: int) -> None:
        """Signal, wait `timeout` seconds (negative: for ever), kill. Returns when the end is recorded."""
        end = asyncio.ensure_future(kept.next_exit())
        await asyncio.sleep(0)  # now it waits
        try:
            if not await self.signal(kept, number):
                return
            try:
                await asyncio.wait_for(asyncio.shield(end), None if timeout < 0 else timeout)
            except TimeoutError:
                await self.signal(kept, signal.SIGKILL)
                await end
        finally:
            end.cancel()

    async def signal(self, kept: Kept, number: int, *, thaw: bool = True) -> bool:
        """Signal the first process. False when it has ended meanwhile.

        The frozen hear signals only when they go on; without `thaw` that is later.
        """
        if thaw and kept.record.state.status == PAUSED:
            await self.thaw(kept)
        if not kept.record.state.running:
            return False
        self._emit("kill", kept.record, signal=str(number))
        with contextlib.suppress(ConflictError):  # ended, and the news is under way
            await self._keeper.signal(kept.record.id, number)
        return True

    async def freeze(self, kept: Kept) -> None:
        """Stop all its processes from being scheduled."""
        await asyncio.to_thread(Cgroup(self._instance, kept.record.id).freeze)
        kept.record.state.status = PAUSED
        self._shelf.save(kept)

    async def thaw(self, kept: Kept) -> None:
        """Let them go on."""
        await asyncio.to_thread(Cgroup(self._instance, kept.record.id).thaw)
        kept.record.state.status = RUNNING
        self._shelf.save(kept)
