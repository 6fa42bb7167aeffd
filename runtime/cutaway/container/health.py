"""Health checks: a command that is run in the container again and again, and what its answers add up to.

Each check is an exec, with the user, folder and variables of the container. Exit code 0 is healthy, any other
is not, nor is one that takes too long. It takes `Retries` failures in a row to be unhealthy; while the
container is starting (`StartPeriod`) failures do not count. A change of the word is told as an event
`health_status: …`.

    starting --first success--> healthy <--success / Retries failures--> unhealthy

One task for each container that runs; it sleeps in between, so checks cost nothing until they are due. What
was found is kept in the record and written down when the word changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from dataclasses import dataclass

from cutaway.container.execs import ExecBody, Execs
from cutaway.container.frames import frames
from cutaway.container.keeper_client import KeeperClient
from cutaway.container.records import RUNNING, Check, Health, Record, now, seconds_since_epoch
from cutaway.container.shelf import Emit, Kept, Shelf
from cutaway.errors import BadInputError, CutawayError
from cutaway.oci.image import Healthcheck

HEALTHY, UNHEALTHY, STARTING = "healthy", "unhealthy", "starting"
SECOND = 1_000_000_000
KEPT_CHECKS = 5
LONGEST_OUTPUT = 4096
SHORTEST = SECOND // 1000
TIMED_OUT = -1


@dataclass(frozen=True, slots=True)
class Schedule:
    """What to run, and when; seconds. Docker's defaults where nothing is said."""

    argv: tuple[str, ...]
    interval: float
    timeout: float
    start_period: float
    start_interval: float
    retries: int

    @classmethod
    def of(cls, check: Healthcheck | None) -> Schedule | None:
        """The schedule of a container's `Healthcheck`; None when it has no check, or `NONE`."""
        words = list((check.test if check else None) or ())
        if check is None or not words or words[0] == "NONE":
            return None
        shell = words[0] == "CMD-SHELL"
        return cls(
            ("/bin/sh", "-c", words[1]) if shell else tuple(words[1:]),
            (check.interval or 30 * SECOND) / SECOND,
            (check.timeout or 30 * SECOND) / SECOND,
            (check.start_period or 0) / SECOND,
            (check.start_interval or 5 * SECOND) / SECOND,
            check.retries or 3,
        )


def check_healthcheck(check: Healthcheck | None) -> None:
    """Raise BadInputError, in Docker's words, for a check that cannot be run."""
    if check is None:
        return
    times = {
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
    }
    for name, value in times.items():
        if value and value < SHORTEST:
            raise BadInputError(f"{name} in Healthcheck cannot be less than 1ms", "write a time such as 10s")
    if (check.retries or 0) < 0:
        raise BadInputError("Retries in Healthcheck cannot be negative", "leave it out for 3")
    words = list(check.test or ())
    if words and words[0] not in ("NONE", "CMD", "CMD-SHELL"):
        raise BadInputError(
            f"Unknown healthcheck type '{words[0]}' (expected 'CMD')", 'write ["CMD-SHELL", "command"]'
        )
    if words and words[0] != "NONE" and len(words) < 2:
        raise BadInputError("Healthcheck has no command to run", 'write ["CMD-SHELL", "command"]')


class HealthMonitor:
    """Runs the checks of all containers that have one."""

    def __init__(self, shelf: Shelf, execs: Execs, keeper: KeeperClient, emit: Emit) -> None:
        self._shelf, self._execs, self._keeper, self._emit = shelf, execs, keeper, emit
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def watch(self, kept: Kept) -> None:
        """A container runs: begin to check it, if it has a check. One found running keeps its word."""
        schedule = Schedule.of(kept.record.config.healthcheck)
        if schedule is None:
            return
        kept.record.state.health = kept.record.state.health or Health()
        self._shelf.save(kept)
        self._tasks[kept.record.id] = asyncio.create_task(self._check_for_ever(kept, schedule))

    def forget(self, kept: Kept) -> None:
        """It has ended. What does not run is not healthy."""
        task = self._tasks.pop(kept.record.id, None)
        if task:
            task.cancel()
        if kept.record.state.health:
            kept.record.state.health.status = UNHEALTHY

    async def close(self) -> None:
        """End all checks."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _check_for_ever(self, kept: Kept, schedule: Schedule) -> None:
        while True:
            await asyncio.sleep(self._pause(kept.record, schedule))
            if kept.record.state.status != RUNNING:
                continue  # paused: nothing can be asked
            result = await self._check(kept, schedule)
            if kept.record.state.running:
                self._note(kept, schedule, result)

    def _pause(self, record: Record, schedule: Schedule) -> float:
        health = record.state.health
        starting = health is not None and health.status == STARTING
        return (
            schedule.start_interval
            if starting and _age(record) < schedule.start_period
            else schedule.interval
        )

    def _note(self, kept: Kept, schedule: Schedule, result: Check) -> None:
        record = kept.record
        health = record.state.health
        assert health is not None
        health.log = [*health.log[1 - KEPT_CHECKS :], result]
        before = health.status
        if result.code == 0:
            health.failing_streak, health.status = 0, HEALTHY
        elif not (health.status == STARTING and _age(record) < schedule.start_period):
            health.failing_streak += 1
            if health.failing_streak >= schedule.retries:
                health.status = UNHEALTHY
        if health.status != before:
            self._shelf.save(kept)
            self._emit(f"health_status: {health.status}", record)

    async def _check(self, kept: Kept, schedule: Schedule) -> Check:
        start = now()
        try:
            code, output = await self._run(kept.record, schedule)
        except CutawayError as error:
            code, output = TIMED_OUT, error.message
        return Check(start, now(), code, output)

    async def _run(self, record: Record, schedule: Schedule) -> tuple[int, str]:
        body = ExecBody(cmd=list(schedule.argv), attach_stdout=True, attach_stderr=True)
        exec_id = self._execs.create(record.id, body)
        ours, theirs = socket.socketpair()
        with ours:
            with theirs, contextlib.suppress(CutawayError):  # told on the stream, and by the code
                await self._execs.start(exec_id, theirs)
            try:
                output = await asyncio.wait_for(_read(ours), schedule.timeout)
            except TimeoutError:
                await self._kill(record, exec_id)
                return TIMED_OUT, f"Health check exceeded timeout ({schedule.timeout:g}s)"
            except asyncio.CancelledError:
                await asyncio.shield(self._kill(record, exec_id))
                raise
        return await self._execs.wait(exec_id), output.decode(errors="replace")

    async def _kill(self, record: Record, exec_id: str) -> None:
        with contextlib.suppress(CutawayError):
            await self._keeper.request("signal", id=record.id, exec_id=exec_id, signal=signal.SIGKILL)


def _age(record: Record) -> float:
    return seconds_since_epoch(now()) - seconds_since_epoch(record.state.started_at)


async def _read(stream: socket.socket) -> bytes:
    """All that is said until its end; the first 4 kB of it."""
    output = bytearray()
    async for data in frames(stream):
        output += data[: LONGEST_OUTPUT - len(output)]
    return bytes(output)
