"""Containers in a list: which ones, in Docker's words, with the texts that people read in `ps`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cutaway.container import volumes
from cutaway.container.records import (
    CREATED,
    DEAD,
    EXITED,
    PAUSED,
    REMOVING,
    RESTARTING,
    Record,
    seconds_since_epoch,
)
from cutaway.container.shelf import Shelf
from cutaway.errors import BadInputError, CutawayError
from cutaway.layer import diff
from cutaway.layer.layers import Layers
from cutaway.network.endpoint import network_settings
from cutaway.network.ports import PortMap
from cutaway.settings import Settings
from cutaway.store.images import Images

FILTERS = (
    "ancestor",
    "before",
    "exited",
    "id",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
)
STATUSES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")


def choose(
    shelf: Shelf, filters: dict[str, list[str]], *, all: bool, limit: int, images: Images
) -> list[Record]:
    """The newest first. Without `all`, `limit` or a filter by status only those that run.

    Raises BadInputError for a filter that is none, NotFoundError for a container that one names.
    """
    for name in filters:
        if name not in FILTERS:
            raise BadInputError(f"invalid filter '{name}'", f"filters are: {', '.join(FILTERS)}")
    for status in filters.get("status", ()):
        if status not in STATUSES:
            raise BadInputError(f"invalid filter 'status={status}'", f"one of {', '.join(STATUSES)}")
    records = [kept.record for kept in shelf if not kept.record.quiet]
    records.sort(key=lambda record: record.created, reverse=True)
    everything = all or limit > 0 or bool({"status", "exited"} & set(filters))
    chosen = [record for record in records if everything or record.state.active]
    chosen = [record for record in chosen if matches(record, filters)]
    chosen = _by_image(chosen, filters.get("ancestor", ()), images)
    chosen = _by_age(chosen, filters, shelf)
    return chosen[:limit] if limit > 0 else chosen


def prunable(shelf: Shelf, filters: dict[str, list[str]]) -> list[Record]:
    """Those that do not run, for `prune`. Raises BadInputError for a filter other than label."""
    if unknown := set(filters) - {"label"}:
        raise BadInputError(f"invalid filter '{min(unknown)}'", "prune knows: label")
    still = (kept.record for kept in shelf if not kept.record.state.active and not kept.record.quiet)
    return [record for record in still if matches(record, filters)]


def matches(record: Record, filters: dict[str, list[str]]) -> bool:
    """Whether the filters that need only the record let it pass: any value of each, but every label."""
    tests: dict[str, Callable[[str], bool]] = {
        "status": lambda value: record.state.status == value,
        "name": lambda value: value.removeprefix("/") in record.name or _is_pattern(value, record.name),
        "id": lambda value: record.id.startswith(value),
        "exited": lambda value: record.state.status == EXITED and str(record.state.exit_code) == value,
        "network": lambda value: record.network == value,
        "volume": lambda value: any(value in (mount.name, mount.destination) for mount in record.mounts),
        "publish": lambda value: _has_port(record, value),
    }
    if not all(_has_label(record, value) for value in filters.get("label", ())):
        return False
    return all(any(map(test, filters[name])) for name, test in tests.items() if filters.get(name))


def summary(record: Record, settings: Settings) -> dict[str, Any]:
    """One entry of `GET /containers/json`."""
    networks = network_settings(settings.instance, record.network, record.endpoint)["Networks"]
    return {
        "Id": record.id,
        "Names": [f"/{record.name}"],
        "Image": record.config.image,
        "ImageID": record.image,
        "Command": " ".join(_quoted(word) for word in record.config.argv),
        "Created": int(seconds_since_epoch(record.created)),
        "Ports": ports(record.endpoint.ports) if record.endpoint else [],
        "Labels": record.config.labels,
        "State": record.state.status,
        "Status": status(record),
        "HostConfig": {"NetworkMode": record.network},
        "NetworkSettings": {"Networks": networks},
        "Mounts": [volumes.docker_json(mount) for mount in record.mounts if mount.type != "tmpfs"],
    }


def status(record: Record) -> str:
    """`Up 3 seconds`, `Exited (0) 2 minutes ago`, `Created`."""
    state = record.state
    if state.running:
        up = f"Up {duration(time.time() - seconds_since_epoch(state.started_at))}"
        if state.status == PAUSED:
            return f"{up} (Paused)"
        if state.health:
            word = state.health.status
            return f"{up} ({'health: starting' if word == 'starting' else word})"
        return up
    if state.status == CREATED:
        return "Created"
    if state.status in (DEAD, REMOVING):
        return {DEAD: "Dead", REMOVING: "Removal In Progress"}[state.status]
    word = "Restarting" if state.status == RESTARTING else "Exited"
    return f"{word} ({state.exit_code}) {duration(time.time() - seconds_since_epoch(state.finished_at))} ago"


def duration(seconds: float) -> str:
    """A span of time as `docker ps` says it (docker/go-units, HumanDuration)."""
    whole = int(seconds)
    minutes, hours = whole // 60, int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{hours // 24 // 365} years"


def ports(published: PortMap) -> list[dict[str, Any]]:
    """Docker's `Ports` of a list: one entry for each address of the host, or one without."""
    found: list[dict[str, Any]] = []
    for text, places in published.items():
        number, _, protocol = text.partition("/")
        port = {"PrivatePort": int(number), "Type": protocol or "tcp"}
        for place in places or ():
            found.append({"IP": place["HostIp"], **port, "PublicPort": int(place["HostPort"])})
        if not places:
            found.append(port)
    return found


def size_of(folder: Path) -> int:
    """Bytes of the files in a tree; what vanishes meanwhile does not count."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118 - a hot loop
            except FileNotFoundError:
                continue
    return total


async def sizes(record: Record, settings: Settings, layers: Layers) -> dict[str, int]:
    """Docker's `SizeRw` (what the container wrote) and `SizeRootFs` (with its image), in bytes."""
    written = await asyncio.to_thread(size_of, settings.container(record.id) / "upper")
    return {"SizeRw": written, "SizeRootFs": written + sum(layers.size(layer) for layer in record.layers)}


def changes(record: Record, settings: Settings, layers: Layers) -> list[dict[str, Any]]:
    """What the container changed, against its image."""
    lowers = [layers.diff(layer) for layer in reversed(record.layers)]
    found = diff.changes(settings.container(record.id) / "upper", lowers)
    return [change.to_docker() for change in found]


def top(pids: Iterable[int]) -> dict[str, Any]:
    """The processes with these numbers, as `ps -ef` shows them."""
    titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    processes = []
    for pid in sorted(pids):
        try:
            processes.append(_process(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return {"Titles": titles, "Processes": processes}


def _process(pid: int) -> list[str]:
    folder = Path(f"/proc/{pid}")
    stat = (folder / "stat").read_text()
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    fields = stat[stat.rindex(")") + 2 :].split()
    ticks = os.sysconf("SC_CLK_TCK")
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    started = time.localtime(time.time() - uptime + int(fields[19]) / ticks)
    used = (int(fields[11]) + int(fields[12])) // ticks
    words = (folder / "cmdline").read_bytes().split(b"\0")[:-1]
    command = " ".join(word.decode(errors="replace") for word in words) or f"[{name}]"
    clock = f"{used // 3600:02}:{used // 60 % 60:02}:{used % 60:02}"
    terminal = "?" if fields[4] == "0" else f"pts/{int(fields[4]) & 0xFF}"
    uid = str(folder.stat().st_uid)
    return [uid, str(pid), fields[1], "0", time.strftime("%H:%M", started), terminal, clock, command]


def _by_image(records: list[Record], ancestors: Iterable[str], images: Images) -> list[Record]:
    wanted = list(ancestors)
    if not wanted:
        return records
    ids: set[str] = set()
    tops: list[list[str]] = []
    for text in wanted:
        try:
            image = images.resolve(text)
        except CutawayError:
            continue  # Docker: an unknown ancestor has no descendants
        ids.add(str(image.id))
        tops.append([str(layer) for layer in image.layers])
    return [r for r in records if r.image in ids or any(r.layers[: len(top)] == top for top in tops if top)]


def _by_age(records: list[Record], filters: dict[str, list[str]], shelf: Shelf) -> list[Record]:
    for text in filters.get("before", ()):
        bound = shelf.find(text).record.created
        records = [record for record in records if record.created < bound]
    for text in filters.get("since", ()):
        bound = shelf.find(text).record.created
        records = [record for record in records if record.created > bound]
    return records


def _has_label(record: Record, wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in record.config.labels and (not equals or record.config.labels[name] == value)


def _has_port(record: Record, wanted: str) -> bool:
    number, _, protocol = wanted.partition("/")
    published = ports(record.endpoint.ports) if record.endpoint else []
    return any(str(p.get("PublicPort")) == number and p["Type"] == (protocol or "tcp") for p in published)


def _is_pattern(value: str, name: str) -> bool:
    bare = value.removeprefix("^").removeprefix("/").removesuffix("$")
    if value.startswith("^") and value.endswith("$"):
        return bare == name
    return value.startswith("^") and name.startswith(bare)


def _quoted(word: str) -> str:
    return f"'{word}'" if word == "" or any(c.isspace() for c in word) else word
