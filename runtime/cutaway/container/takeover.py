"""The next engine's first work: find out what is true, and clear what was half made.

Three witnesses are asked. The database says what was intended. The keeper says what runs. `exit.json` in a
container's folder says how it ended while no engine was there. From these follows for each container:

    row running, keeper has it          runs on, as the keeper says
    row running, keeper has it not      ended: code of exit.json, else 137
    row not running, keeper has it      was being started: it runs
    row without folder                  was being removed: the row goes
    folder without row                  was being created, or removed: the folder goes
    cgroup without a running container  its processes are killed, and it goes
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from cutaway.container import folders, records
from cutaway.container.records import EXITED, RESTARTING, RUNNING, Record
from cutaway.container.shelf import Kept
from cutaway.linux.cgroups import Cgroup, RemoveCgroup, cgroup_base
from cutaway.linux.kernel import Kernel
from cutaway.linux.step import Context
from cutaway.settings import Settings

if TYPE_CHECKING:
    from cutaway.container.lifecycle import Containers


async def take_over(containers: Containers) -> None:
    """Bring rows, folders, cgroups, the network and the keeper's processes into agreement."""
    shelf, settings = containers.shelf, containers.settings
    await containers.keeper.connect()
    running = {p["id"]: p for p in await containers.keeper.list() if "exec_id" not in p}
    over: list[tuple[Kept, dict[str, Any]]] = []
    for kept in shelf:
        record = kept.record
        if not settings.container(record.id).is_dir():
            shelf.remove(kept)
        elif process := running.get(record.id):
            _runs(record, process)
            shelf.save(kept)
        elif record.state.running:
            over.append((kept, folders.read_exit(settings.container(record.id)) or {}))
        elif record.endpoint is not None:
            record.endpoint = None
            shelf.save(kept)
    await containers.network.adopt(
        {k.record.id: k.record.endpoint for k in shelf if k.record.state.running and k.record.endpoint}
    )
    for kept, last_words in over:
        code, oom = last_words.get("code", 137), last_words.get("oom", False)
        finished = last_words.get("finished", records.now())
        await containers.ended(kept, code, oom=oom, finished=finished)
    await _clear(containers, set(running))
    for kept in shelf:
        if kept.record.state.running:
            containers.health.watch(kept)
        elif kept.record.state.status in (EXITED, RESTARTING):
            containers.restarting.at_engine_start(kept)


async def _clear(containers: Containers, running: set[str]) -> None:
    shelf, settings = containers.shelf, containers.settings
    for kept in shelf:
        state, host = kept.record.state, kept.record.host
        ended = not state.running and state.finished_at != records.NEVER
        if not state.running and (kept.record.quiet or (host.auto_remove and ended)):
            await containers.remove(kept.record.id)
        elif kept.record.quiet:
            await containers.remove(kept.record.id, force=True)  # a build that nobody waits for any more
    for folder in settings.containers.iterdir():
        if folder.name not in shelf:
            folders.discard(folder, settings)
    for container_id in _cgroups(settings) - running:
        _remove_cgroup(settings, container_id)


def clear_kernel(record: Record, settings: Settings) -> None:
    """After the keeper's death: kill what may be left of a container and remove its cgroup.

    Its network cable vanished with its last process.
    """
    _remove_cgroup(settings, record.id)


def forget_cgroups(settings: Settings) -> None:
    """Remove the group that held the containers' groups. One that is still used stays."""
    for base in cgroup_base(settings.instance):
        with contextlib.suppress(OSError):
            os.rmdir(base)  # noqa: PTH106 - text, not a Path


def _runs(record: Record, process: dict[str, Any]) -> None:
    state = record.state
    if state.running and state.pid == process["pid"]:
        return  # perhaps paused
    state.status, state.pid, state.start_time = RUNNING, process["pid"], process["start_time"]
    state.started_at = records.rfc3339(process["started"])


def _cgroups(settings: Settings) -> set[str]:
    found: set[str] = set()
    for base in cgroup_base(settings.instance):
        with contextlib.suppress(FileNotFoundError):
            found |= {entry.name for entry in os.scandir(base) if entry.is_dir()}
    return found


def _remove_cgroup(settings: Settings, container_id: str) -> None:
    Cgroup(settings.instance, container_id).kill_all()
    with contextlib.suppress(OSError):
        RemoveCgroup(settings.instance, container_id).execute(Context(Kernel()))
