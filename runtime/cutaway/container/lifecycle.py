"""The life of containers: created, started, ended, removed, as requests of the API and as it befalls them.

    create          start              exit (told by the keeper)         remove
    row, folder --> endpoint, plan --> code, endpoint given back -----> folder away, row away
                    keeper forks

Each step leaves the database saying what is true, so that an engine killed at any instruction is succeeded by
one that can tell what was going on (`takeover`). A container's lock is held while its state changes; what the
keeper reports waits for it, so a program that ends at once is not seen to end before it was seen to start.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from typing import Any

from cutaway.container import checks, drafting, filtering, folders, listing, volumes
from cutaway.container.ending import Ending
from cutaway.container.execs import Execs
from cutaway.container.health import HealthMonitor
from cutaway.container.keeper_client import KeeperClient
from cutaway.container.listener import Listener
from cutaway.container.plan import Plan
from cutaway.container.populating import Populating
from cutaway.container.preparation import Preparation
from cutaway.container.records import DEAD, EXITED, PAUSED, REMOVING, RESTARTING, Record, seconds_since_epoch
from cutaway.container.restarting import Restarting
from cutaway.container.rootview import RootView
from cutaway.container.shelf import Kept, Shelf
from cutaway.container.spec import CreateBody
from cutaway.container.starting import Starting
from cutaway.container.takeover import forget_cgroups, take_over
from cutaway.errors import BadInputError, ConflictError, CutawayError
from cutaway.events import EventLog
from cutaway.layer.layers import Layers
from cutaway.linux.cgroups import Cgroup
from cutaway.network.manager import Network
from cutaway.settings import Settings
from cutaway.store.database import Database
from cutaway.store.images import Images, Use

STOP_SECONDS = 10

JsonList = list[dict[str, Any]]  # within the class, `list` is a method


class Containers:
    """All containers of one engine. To be used from its event loop."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        keeper: KeeperClient,
        images: Images,
        layers: Layers,
        network: Network,
        events: EventLog,
    ) -> None:
        self.settings, self.keeper, self.images, self.layers = settings, keeper, images, layers
        self.network, self.events = network, events
        self.shelf = Shelf(database)
        self.preparation = Preparation(settings, layers, network, self.shelf)
        self.execs = Execs(self.shelf, keeper, self.preparation, events)
        self.starting = Starting(self.shelf, keeper, self.preparation, settings)
        self.ending = Ending(self.shelf, keeper, settings.instance, self.emit)
        self.restarting = Restarting(self.shelf, self._launch)
        self.health = HealthMonitor(self.shelf, self.execs, keeper, self.emit)
        self._populating = Populating(RootView(settings, layers), layers)
        self._listener = Listener(self.shelf, self.execs, settings, self.ended, self.emit)
        keeper.on_event, keeper.on_lost = self._listener.says, self._listener.lost

    # Making

    async def create(self, name: str, body: CreateBody, *, quiet: bool = False) -> tuple[str, list[str]]:
        """Make a container that does not run yet. Returns its id and warnings.

        `quiet` containers are the builder's: no events, not listed. Raises NotFoundError for the image,
        BadInputError for what cannot be, ConflictError for the name; then nothing was made.
        """
        record, warnings = self.draft(name, body)
        record.quiet = quiet
        volumes.prepare(record.mounts)
        folder = self.settings.container(record.id)
        try:
            folders.make(folder)
        except OSError as error:
            raise folders.refusal(error, folder) from error
        try:
            kept = self.shelf.add(record)
        except BaseException:
            folders.discard(folder, self.settings)
            raise
        try:
            await self._populating.populate(kept)
        except BaseException:
            await self._remove(kept, with_volumes=True)
            raise
        self.emit("create", record)
        return record.id, warnings

    def draft(self, name: str, body: CreateBody) -> tuple[Record, list[str]]:
        """The record that `create` would keep, checked, with its warnings. Nothing is made."""
        if name:
            name = checks.check_name(name)
            self.shelf.check_name(name)
        image = self.images.resolve(body.image)
        return drafting.draft(name or self.shelf.free_name(), body, image, self.settings, self.shelf)

    async def plan(self, name: str, body: CreateBody) -> Plan:
        """What a start would do, without doing anything: `explain`. The address is a likely one."""
        record, _ = self.draft(name, body)
        return self.preparation.plan(record, self.preparation.imagined(record))

    # Starting and ending

    async def start(self, name: str) -> bool:
        """Start a container. False when it runs already.

        Raises what the start failed with; State.Error and ExitCode (127, 126, 128) then tell it, too.
        """
        return await asyncio.shield(self._start(self.shelf.find(name)))  # whatever the client does meanwhile

    async def _start(self, kept: Kept) -> bool:
        async with kept.lock:
            return await self._start_locked(kept)

    async def _start_locked(self, kept: Kept) -> bool:
        record = kept.record
        if record.state.status == PAUSED:
            raise ConflictError("cannot start a paused container, try unpause instead")
        if record.state.active:
            return False
        if kept.removing:
            raise ConflictError("container is marked for removal and cannot be started")
        record.stopped_by_hand, record.restart_count = False, 0
        try:
            await self._launch(kept)
        except CutawayError:
            if record.host.auto_remove:
                await self._remove(kept)
            raise
        return True

    async def _launch(self, kept: Kept) -> None:
        await self.starting.launch(kept)
        self.emit("start", kept.record)
        self.health.watch(kept)

    async def stop(self, name: str, timeout: int | None = None, signal: str = "") -> bool:
        """Ask the program to end, and kill it when it has not after `timeout` seconds.

        False when it does not run. One that waits for its restart waits no longer.
        Without a timeout the container's own counts, else 10; negative waits for ever.
        """
        kept = self.shelf.find(name)
        config = kept.record.config
        number = checks.signal_number(signal or config.stop_signal)
        if not kept.record.state.active:
            return False
        if timeout is None:
            timeout = STOP_SECONDS if config.stop_timeout is None else config.stop_timeout
        if not await self._let_rest(kept):
            await self.ending.end(kept, number, timeout)
        self.emit("stop", kept.record)
        return True

    async def kill(self, name: str, signal_name: str = "SIGKILL") -> None:
        """Send a signal. Raises ConflictError when the container does not run; SIGKILL waits for the end."""
        number = checks.signal_number(signal_name, signal.SIGKILL)
        kept = self.shelf.find(name)
        if not kept.record.state.active:
            raise ConflictError(
                f"cannot kill container: {name}: container {kept.record.id} is not running",
                "ps -a shows its state",
            )
        ends = number in (signal.SIGKILL, checks.signal_number(kept.record.config.stop_signal))
        if ends and await self._let_rest(kept):
            return
        if number == signal.SIGKILL:
            await self.ending.end(kept, number, -1)
        else:
            await self.ending.signal(kept, number, thaw=ends)

    async def _let_rest(self, kept: Kept) -> bool:
        """Somebody wants it to end: no policy starts it again. True when it was between two starts."""
        async with kept.lock:
            kept.record.stopped_by_hand = True
            self.shelf.save(kept)  # before the signal: an engine that dies now must not restart it either
            return self.restarting.cancel(kept)

    async def restart(self, name: str, timeout: int | None = None, signal: str = "") -> None:
        """Stop, if it runs, and start."""
        await self.stop(name, timeout, signal)
        await self.start(name)
        self.emit("restart", self.shelf.find(name).record)

    async def pause(self, name: str) -> None:
        """Freeze all processes. Raises ConflictError when it does not run or is frozen already."""
        kept = self.shelf.find(name)
        async with kept.lock:
            if kept.record.state.status == RESTARTING:
                raise ConflictError(
                    f"Container {kept.record.id} is restarting, wait until the container is running"
                )
            if not kept.record.state.running:
                raise ConflictError(f"container {kept.record.id} is not running")
            if kept.record.state.status == PAUSED:
                raise ConflictError(f"container {kept.record.id} is already paused")
            await self.ending.freeze(kept)
        self.emit("pause", kept.record)

    async def unpause(self, name: str) -> None:
        """Go on. Raises ConflictError when it is not frozen."""
        kept = self.shelf.find(name)
        async with kept.lock:
            if kept.record.state.status != PAUSED:
                raise ConflictError(f"container {kept.record.id} is not paused")
            await self.ending.thaw(kept)
        self.emit("unpause", kept.record)

    async def ended(self, kept: Kept, code: int, *, oom: bool, finished: str, pid: int = 0) -> None:
        """Record the end of a container, give back what it had, tell everybody.

        `pid` guards against old news.
        """
        async with kept.lock:
            record = kept.record
            if not record.state.running or (pid and pid != record.state.pid):
                return
            state = record.state
            state.status, state.pid, state.start_time = EXITED, 0, 0
            state.exit_code, state.oom_killed, state.finished_at = code, oom, finished
            self.health.forget(kept)
            await self.preparation.undo(record)
            if not self.restarting.after_end(kept):
                self.shelf.save(kept)
            if oom:
                self.emit("oom", record)
            ran = seconds_since_epoch(finished) - seconds_since_epoch(state.started_at)
            self.emit("die", record, execDuration=str(max(0, round(ran))), exitCode=str(code))
            if record.host.auto_remove:
                await self._remove(kept)
            kept.tell_exit()

    async def wait(self, name: str, condition: str = "not-running") -> int:
        """The exit code, when `condition` holds: not-running, next-exit or removed."""
        return await self.shelf.find(name).wait(condition)

    # Removing

    async def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container with its changes and its log.

        Raises ConflictError in Docker's words while it runs.
        """
        kept = self.shelf.find(name)
        if kept.removing:
            raise ConflictError(f"removal of container {name} is already in progress")
        if kept.record.state.active:
            if not force:
                raise _running(kept.record)
            if not await self._let_rest(kept):
                await self.ending.end(kept, signal.SIGKILL, -1)
        async with kept.lock:
            if kept.record.state.active:
                raise _running(kept.record)
            await asyncio.shield(self._remove(kept, with_volumes=volumes))

    async def _remove(self, kept: Kept, *, with_volumes: bool = False) -> None:
        record = kept.record
        if kept.removing:
            return
        kept.removing, record.state.status = True, REMOVING
        await self.keeper.request("forget", id=record.id)
        try:
            folders.discard(self.settings.container(record.id), self.settings)
        except OSError as error:
            kept.removing, record.state.status = False, DEAD
            self.shelf.save(kept)
            raise folders.refusal(error, self.settings.container(record.id)) from error
        self.shelf.remove(kept)
        self.execs.forget(record.id)
        if with_volumes or record.host.auto_remove:
            for mount in record.mounts:
                if mount.anonymous:
                    folders.discard(self.settings.root / "volumes" / mount.name, self.settings)
        self.emit("destroy", record)
        kept.tell_removal()

    async def prune(self, filters: dict[str, list[str]] | None = None) -> dict[str, Any]:
        """Remove all that do not run. Returns Docker's `ContainersDeleted` and `SpaceReclaimed`."""
        deleted, space = [], 0
        for record in filtering.prunable(self.shelf, filters or {}):
            upper = self.settings.container(record.id) / "upper"
            space += await asyncio.to_thread(listing.size_of, upper)
            await self.remove(record.id)
            deleted.append(record.id)
        return {"ContainersDeleted": deleted, "SpaceReclaimed": space}

    async def rename(self, name: str, new_name: str) -> None:
        """Give another name. Raises ConflictError when it is taken."""
        kept = self.shelf.find(name)
        if not new_name:
            raise BadInputError("Neither old nor new names may be empty")
        async with kept.lock:
            old = kept.record.name
            self.shelf.rename(kept, checks.check_name(new_name))
        self.emit("rename", kept.record, oldName=f"/{old}")

    # What others have to know

    def uses(self, image_id: str) -> Sequence[Use]:
        """Which containers were made from an image: for `Images`."""
        return [
            Use(kept.record.id, kept.record.state.running)
            for kept in self.shelf
            if kept.record.image == image_id
        ]

    async def trace(self, name: str) -> dict[str, Any] | None:
        """How the last start went: `{"result", "steps": [{phase, step, text, fields, offset_us, us,
        result}]}`.
        """
        await self.keeper.request("hello")  # the keeper writes it right behind its answer to a start
        return folders.read_trace(self.settings.container(self.shelf.find(name).record.id))

    def record(self, name: str) -> Record:
        """The record itself, to be read only. Raises NotFoundError."""
        return self.shelf.find(name).record

    def cgroup(self, record: Record) -> Cgroup:
        """The container's control group."""
        return Cgroup(self.settings.instance, record.id)

    # The engine's own life

    async def take_over(self) -> None:
        """After the engine's start: agree with the keeper and the disk. Before any request."""
        await take_over(self)

    async def close(self) -> None:
        """Let go: containers run on. What is being recorded is finished first."""
        await self.restarting.close()
        await self.health.close()
        await self._listener.idle()
        await self.keeper.close()
        await folders.discarded()
        if not any(kept.record.state.running for kept in self.shelf):
            forget_cgroups(self.settings)

    def emit(self, action: str, record: Record, **more: str) -> None:
        """Tell an event about a container, unless it is the builder's."""
        if not record.quiet:
            self.events.emit("container", action, record.id, {**record.attributes(), **more})


def _running(record: Record) -> ConflictError:
    what, cure = "running", "stop the container before removing or force remove"
    if record.state.status == RESTARTING:
        what = "restarting"
    if record.state.status == PAUSED:
        what, cure = "paused", "unpause and stop the container before removing or force remove"
    return ConflictError(
        f'cannot remove container "/{record.name}": container is {what}: {cure}', "rm -f kills it first"
    )
