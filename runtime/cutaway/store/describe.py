"""An image in the words of Docker's API: the list entry, the inspect document, the history.

Field names and meanings are those of the Docker Engine API 1.47, `ImageSummary`, `ImageInspect` and
`HistoryResponseItem`. Nothing here asks the disk: what has to be known is handed in.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cutaway.oci.image import EPOCH, History, RunConfig

if TYPE_CHECKING:
    from cutaway.store.images import Image

MISSING = "<missing>"


def moment(text: str | None) -> datetime.datetime:
    """Read RFC 3339; the epoch for nothing and for what cannot be read. Always with a time zone."""
    try:
        value = datetime.datetime.fromisoformat(text or EPOCH)
    except ValueError:
        value = datetime.datetime.fromisoformat(EPOCH)
    return value if value.tzinfo else value.replace(tzinfo=datetime.UTC)


def now() -> str:
    """This moment as configs have it: RFC 3339, UTC, nanoseconds."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def has_label(image: Image, wanted: str) -> bool:
    """Whether the image has label `key`, or `key=value`."""
    labels = image.config.config.labels or {}
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def summary(image: Image) -> dict[str, Any]:
    """An entry of `GET /images/json`. Sizes in bytes, `Created` in seconds since the epoch."""
    return {
        "Id": image.id,
        "ParentId": image.parent,
        "RepoTags": list(image.names),
        "RepoDigests": [],
        "Created": int(image.created.timestamp()),
        "Size": image.size,
        "VirtualSize": image.size,  # clients older than API 1.44 read this
        "SharedSize": -1,
        "Labels": image.config.config.labels or {},
        "Containers": -1,
    }


def inspect(image: Image, folders: Sequence[Path], tagged_ns: int) -> dict[str, Any]:
    """The document of `GET /images/{name}/json`. `folders` are the unpacked layers, lowest first."""
    config = image.config
    return {
        "Id": image.id,
        "RepoTags": list(image.names),
        "RepoDigests": [],
        "Parent": image.parent,
        "Comment": config.comment or _last_comment(config.history or []),
        "Created": config.created or EPOCH,
        "DockerVersion": config.docker_version,
        "Author": config.author,
        "Config": run_config(config.config),
        "Architecture": config.architecture,
        "Variant": config.variant,
        "Os": config.os,
        "Size": image.size,
        "VirtualSize": image.size,
        "GraphDriver": {"Name": "overlay2", "Data": _overlay(folders)},
        "RootFS": {"Type": "layers", "Layers": list(image.layers)},
        "Metadata": {"LastTagTime": rfc3339(tagged_ns)},
    }


def run_config(config: RunConfig) -> dict[str, Any]:
    """The run part of a config with every field that Docker's clients look for."""
    health = config.healthcheck
    return {
        "Hostname": config.hostname,
        "Domainname": config.domainname,
        "User": config.user,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        **({"ExposedPorts": config.exposed_ports} if config.exposed_ports else {}),
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "Env": config.env or [],
        "Cmd": config.cmd,
        **({"Healthcheck": msgspec.to_builtins(health)} if health else {}),
        "Image": "",
        "Volumes": config.volumes,
        "WorkingDir": config.working_dir,
        "Entrypoint": config.entrypoint,
        "OnBuild": config.on_build,
        "Labels": config.labels,
        **({"StopSignal": config.stop_signal} if config.stop_signal else {}),
        **({"Shell": config.shell} if config.shell else {}),
    }


def history(image: Image, ancestors: Iterable[Image]) -> list[dict[str, Any]]:
    """The steps of `GET /images/{name}/history`, newest first; one made elsewhere has the id `<missing>`."""
    sizes = [layer.size for layer in image.stack]
    steps: list[dict[str, Any]] = []
    for entry in _whole_history(image):
        size = 0 if entry.empty_layer or not sizes else sizes.pop(0)
        steps.append(
            {
                "Id": MISSING,
                "Created": int(moment(entry.created).timestamp()),
                "CreatedBy": entry.created_by,
                "Tags": None,
                "Size": size,
                "Comment": entry.comment,
            }
        )
    steps.reverse()
    for step, owner in zip(steps, (image, *ancestors), strict=False):
        step["Id"] = owner.id
        step["Tags"] = list(owner.names) or None
    return steps


def _whole_history(image: Image) -> list[History]:
    """The config's history; layers that it does not mention get an entry, oldest first."""
    entries = list(image.config.history or [])
    told = sum(not entry.empty_layer for entry in entries)
    untold = [History(created=image.config.created) for _ in range(len(image.stack) - told)]
    return entries + untold


def _last_comment(entries: Sequence[History]) -> str:
    return entries[-1].comment if entries else ""


def _overlay(folders: Sequence[Path]) -> dict[str, str]:
    """As Docker's overlay2 driver tells it: the top layer, and the ones below with the nearest first."""
    if not folders:
        return {}
    *lower, top = (str(folder) for folder in folders)
    data = {"UpperDir": top}
    return data | {"LowerDir": ":".join(reversed(lower))} if lower else data


def rfc3339(time_ns: int) -> str:
    """Nanoseconds since the epoch as Docker's JSON has times; 0 is Go's zero time."""
    if not time_ns:
        return "0001-01-01T00:00:00Z"  # Go's zero time, which clients know as "never"
    whole = datetime.datetime.fromtimestamp(time_ns // 10**9, datetime.UTC)
    return whole.strftime("%Y-%m-%dT%H:%M:%S") + f".{time_ns % 10**9:09d}Z"
