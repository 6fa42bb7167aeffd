"""Containers in a list: which ones, in Docker's words, with the texts that people read in `ps`."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from cutaway import moments
from cutaway.container import volumes
from cutaway.container.records import (
    CREATED,
    DEAD,
    PAUSED,
    REMOVING,
    RESTARTING,
    Record,
    seconds_since_epoch,
)
from cutaway.layer import diff
from cutaway.layer.layers import Layers
from cutaway.network.endpoint import network_settings
from cutaway.network.ports import PortMap
from cutaway.settings import Settings


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
        up = f"Up {moments.duration(time.time() - seconds_since_epoch(state.started_at))}"
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
    age = moments.duration(time.time() - seconds_since_epoch(state.finished_at))
    return f"{word} ({state.exit_code}) {age} ago"


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


def _quoted(word: str) -> str:
    return f"'{word}'" if word == "" or any(c.isspace() for c in word) else word
