"""Restart policies: whether a container that has ended is started again, and after which pause.

    no              never
    always          after every end, and when the engine starts
    unless-stopped  likewise, but not when somebody had stopped it by hand
    on-failure[:N]  after an exit code other than 0, at most N times in a row

A program that ends at once would keep the machine busy with nothing but starts. So the pause doubles from
100 ms up to a minute; a run of ten seconds earns the first pause again (moby, restartmanager.go).

While it waits a container is `restarting`: it has no process, but clients that ask hear that it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cutaway.container.records import EXITED, RESTARTING, Record, seconds_since_epoch
from cutaway.container.shelf import Kept, Shelf
from cutaway.container.spec import RestartPolicy
from cutaway.errors import BadInputError, CutawayError

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 60.0
STEADY_SECONDS = 10.0
POLICIES = ("no", "always", "unless-stopped", "on-failure")


def check_policy(policy: RestartPolicy, *, auto_remove: bool, changing: bool = False) -> None:
    """Raise BadInputError, in Docker's words, for a policy that is none, or none to change to."""
    if policy.name not in ("", *POLICIES):
        raise BadInputError(
            f"invalid restart policy: unknown policy '{policy.name}'; "
            f"use one of {', '.join(map(repr, POLICIES))}",
            "such as --restart on-failure:3",
        )
    if policy.maximum_retry_count < 0:
        raise BadInputError(
            "invalid restart policy: maximum retry count cannot be negative", "leave it out for no limit"
        )
    if policy.maximum_retry_count and policy.name != "on-failure":
        raise BadInputError(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
            "leave the number out",
        )
    if auto_remove and policy.name not in ("", "no"):
        raise BadInputError(
            "Restart policy cannot be updated because AutoRemove is enabled for the container"
            if changing
            else "can't create 'AutoRemove' container with restart policy",
            "choose one of --rm and --restart",
        )


def wants_restart(record: Record) -> bool:
    """Whether the policy starts a container again that has ended as its state says."""
    policy = record.host.restart_policy
    if policy.name == "always":
        return True
    if record.stopped_by_hand:
        return False
    if policy.name == "on-failure":
        most = policy.maximum_retry_count
        return record.state.exit_code != 0 and (not most or record.restart_count < most)
    return policy.name == "unless-stopped"


class Restarting:
    """The containers that wait for their next start."""

    def __init__(self, shelf: Shelf, start: Callable[[Kept], Awaitable[None]]) -> None:
        """`start` starts a container whose lock is held, and raises what that failed with."""
        self._shelf, self._start = shelf, start
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pauses: dict[str, float] = {}

    def after_end(self, kept: Kept) -> bool:
        """A container has ended, as its state tells: start it again later, if its policy says so.

        Called with the lock held. Returns whether it will be restarted; its state is `restarting` then.
        """
        record = kept.record
        if record.stopped_by_hand or not wants_restart(record):
            self._pauses.pop(record.id, None)
            return False
        self._later(kept, self._next_pause(record))
        return True

    def at_engine_start(self, kept: Kept) -> None:
        """A container that the engine found ended when it started."""
        record = kept.record
        if record.state.started and wants_restart(record):
            self._later(kept, 0.0)

    def cancel(self, kept: Kept) -> bool:
        """Do not start it after all. False when it was not waiting. With the lock held."""
        task = self._tasks.pop(kept.record.id, None)
        self._pauses.pop(kept.record.id, None)
        if task is None:
            return False
        task.cancel()
        if kept.record.state.status == RESTARTING:
            kept.record.state.status = EXITED
            self._shelf.save(kept)
        return True

    async def close(self) -> None:
        """Let go of all that wait: the next engine sees that they are restarting, and starts them."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _next_pause(self, record: Record) -> float:
        ran = seconds_since_epoch(record.state.finished_at) - seconds_since_epoch(record.state.started_at)
        last = 0.0 if ran >= STEADY_SECONDS else self._pauses.get(record.id, 0.0)
        pause = min(2 * last, LONGEST_PAUSE) if last else FIRST_PAUSE
        self._pauses[record.id] = pause
        return pause

    def _later(self, kept: Kept, pause: float) -> None:
        kept.record.state.status = RESTARTING
        self._shelf.save(kept)
        self._tasks[kept.record.id] = asyncio.create_task(self._wait_and_start(kept, pause))

    async def _wait_and_start(self, kept: Kept, pause: float) -> None:
        record = kept.record
        await asyncio.sleep(pause)
        async with kept.lock:
            if self._tasks.get(record.id) is not asyncio.current_task() or kept.removing:
                return
            del self._tasks[record.id]  # from here on a stop has a process to stop, not a pause to end
            record.restart_count += 1
            await asyncio.shield(self._try(kept))

    async def _try(self, kept: Kept) -> None:
        try:
            await self._start(kept)
        except CutawayError:  # the state says why; Docker tries no further, and neither do we
            kept.record.state.status = EXITED
            self._shelf.save(kept)
            kept.tell_exit()
