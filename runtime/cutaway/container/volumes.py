"""What is mounted into a container: folders and files of the host, named volumes, memory.

A named volume is a folder that the engine owns, `volumes/<name>/_data` below its root; it outlives the
container. A path that an image or `-v /path` declares without a source gets a volume with a random name,
which goes with the container. A new volume begins empty; Docker would fill it from the image.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from cutaway.container.naming import new_id
from cutaway.container.records import Mount
from cutaway.container.spec import Config, HostConfig, MountRequest
from cutaway.errors import BadInputError

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_IGNORED = {"z", "Z", "rprivate", "private", "nocopy", "rbind", "consistent", "cached", "delegated", "rw", ""}


def mounts_of(config: Config, host: HostConfig, volumes: Path) -> list[Mount]:
    """All mounts that were asked for, checked. Nothing is made yet; see `prepare`. Raises BadInputError."""
    found = [
        *(_from_bind(text, volumes) for text in host.binds),
        *(_from_request(request, volumes) for request in host.mounts),
        *(Mount("tmpfs", _clean(path), options=_tmpfs(options)) for path, options in host.tmpfs.items()),
    ]
    taken: set[str] = set()
    for mount in found:
        if mount.destination in taken:
            raise BadInputError(f"Duplicate mount point: {mount.destination}", "mount one thing at one place")
        taken.add(mount.destination)
    for path in config.volumes:
        if _clean(path) not in taken:
            found.append(_anonymous(_clean(path), volumes))
    return sorted(found, key=lambda mount: mount.destination.count("/") if mount.destination != "/" else 0)


def prepare(mounts: list[Mount]) -> None:
    """Make what is missing on the host: folders of `-v`, volumes. Raises BadInputError when it cannot."""
    for mount in mounts:
        if mount.type == "tmpfs":
            continue
        try:
            if not os.path.lexists(mount.source):
                Path(mount.source).mkdir(parents=True)
        except OSError as error:
            raise BadInputError(
                f"error while creating mount source path '{mount.source}': mkdir: "
                f"{(error.strerror or '').lower()}",
                "make it yourself, or choose another place",
            ) from error


def docker_json(mount: Mount) -> dict[str, object]:
    """One entry of `Mounts` in inspect and list."""
    data: dict[str, object] = {"Type": mount.type}
    if mount.type == "volume":
        data |= {"Name": mount.name, "Driver": "local"}
    mode = "ro" if mount.read_only else ""
    place = {
        "Source": mount.source,
        "Destination": mount.destination,
        "Mode": mode,
        "RW": not mount.read_only,
    }
    return data | place | {"Propagation": "rprivate" if mount.type == "bind" else ""}


def _from_bind(text: str, volumes: Path) -> Mount:
    parts = text.split(":")
    if len(parts) == 1:
        return _anonymous(_clean(parts[0]), volumes)
    if len(parts) > 3 or not parts[0] or not parts[1]:
        raise BadInputError(
            f"invalid volume specification: '{text}'", "write /host/path:/container/path, or name:/path"
        )
    options = set(parts[2].split(",")) if len(parts) == 3 else set()
    unknown = options - _IGNORED - {"ro"}
    if unknown:
        raise BadInputError(f"invalid mode: {','.join(sorted(unknown))}", "this engine knows ro and rw")
    read_only = "ro" in options
    if parts[0].startswith("/"):
        return Mount("bind", _clean(parts[1]), os.path.normpath(parts[0]), read_only=read_only)
    return _volume(parts[0], _clean(parts[1]), volumes, read_only=read_only)


def _from_request(request: MountRequest, volumes: Path) -> Mount:
    target = _clean(request.target)
    if request.type == "bind":
        if not request.source.startswith("/"):
            raise BadInputError(
                f"invalid mount config for type \"bind\": invalid mount path: '{request.source}' "
                "mount path must be absolute"
            )
        if not os.path.lexists(request.source) and not request.bind_options.get("CreateMountpoint"):
            raise BadInputError(
                f'invalid mount config for type "bind": bind source path does not exist: {request.source}',
                "make it first; -v would make an empty folder",
            )
        return Mount("bind", target, os.path.normpath(request.source), read_only=request.read_only)
    if request.type == "tmpfs":
        options = request.tmpfs_options
        words = ["nosuid", "nodev", "noexec", *([f"size={options.size_bytes}"] if options.size_bytes else [])]
        return Mount("tmpfs", target, options=",".join([*words, f"mode={options.mode or 0o1777:o}"]))
    if request.type == "volume":
        if not request.source:
            return _anonymous(target, volumes)
        return _volume(request.source, target, volumes, read_only=request.read_only)
    raise BadInputError(
        f"mount type {request.type!r} is not supported", "this engine knows bind, volume and tmpfs"
    )


def _volume(name: str, target: str, volumes: Path, *, read_only: bool) -> Mount:
    if not _NAME.fullmatch(name):
        raise BadInputError(
            f'create {name}: "{name}" includes invalid characters for a local volume name, '
            'only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. '
            "If you intended to pass a host directory, use absolute path"
        )
    return Mount("volume", target, str(volumes / name / "_data"), name, read_only)


def _anonymous(target: str, volumes: Path) -> Mount:
    name = new_id()
    return Mount("volume", target, str(volumes / name / "_data"), name, anonymous=True)


def _tmpfs(options: str) -> str:
    return ",".join(["nosuid", "nodev", "noexec", *_words(options)])


def _words(options: str) -> Iterator[str]:
    return (word for word in options.split(",") if word)


def _clean(path: str) -> str:
    if not path.startswith("/"):
        raise BadInputError(
            f"invalid mount path: '{path}' mount path must be absolute", "begin it with a slash"
        )
    clean = os.path.normpath("/" + path.lstrip("/"))
    if clean == "/":
        raise BadInputError("invalid specification: destination can't be '/'", "mount below the root")
    return clean
