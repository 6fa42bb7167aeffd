"""What is mounted into a container: folders and files of the host, named volumes, memory.

A named volume is a folder that the engine owns, `volumes/<name>/_data` below its root; it outlives the
container. A path that an image or `-v /path` declares without a source gets a volume with a random name,
which goes with the container. A volume that is still empty is filled with what the image has at its place
(`populating`).

Of one place only one mount can be. A later kind of wish gives way to an earlier one: `-v` and `--mount`, then
`--volumes-from`, then what the image declares.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from cutaway.container.naming import new_id
from cutaway.container.records import Mount
from cutaway.container.shelf import Shelf
from cutaway.container.spec import Config, HostConfig, MountRequest
from cutaway.errors import BadInputError

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_PROPAGATION = {"private", "rprivate", "shared", "rshared", "slave", "rslave"}
_IGNORED = {"z", "Z", "rbind", "bind", "consistent", "cached", "delegated", "rw", ""}
_TMPFS = {
    "rw",
    "ro",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "sync",
    "async",
    "dirsync",
    "remount",
}
_TMPFS |= {"atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "defaults"}
_TMPFS_VALUES = {"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"}


def mounts_of(config: Config, host: HostConfig, volumes: Path, shelf: Shelf) -> list[Mount]:
    """All mounts that were asked for, checked. Nothing is made yet; see `prepare`.

    Raises BadInputError, NotFoundError for a container of `--volumes-from`.
    """
    found = [
        *(_from_bind(text, volumes) for text in host.binds),
        *(_from_request(request, volumes) for request in host.mounts),
        *(
            Mount("tmpfs", _clean(path), options=_tmpfs(options.split(",")))
            for path, options in host.tmpfs.items()
        ),
    ]
    taken: set[str] = set()
    for mount in found:
        if mount.destination in taken:
            raise BadInputError(f"Duplicate mount point: {mount.destination}", "mount one thing at one place")
        taken.add(mount.destination)
    inherited = [mount for text in host.volumes_from for mount in _from_container(text, shelf)]
    declared = [_anonymous(_clean(path), volumes) for path in config.volumes]
    for mount in (*inherited, *declared):
        if mount.destination not in taken:
            taken.add(mount.destination)
            found.append(mount)
    return sorted(found, key=lambda mount: mount.destination.count("/") if mount.destination != "/" else 0)


def _from_container(text: str, shelf: Shelf) -> Iterator[Mount]:
    """Of `--volumes-from NAME[:ro]`: what the other mounts, but not its memory."""
    name, _, mode = text.partition(":")
    if mode not in ("", "ro", "rw", "z", "Z"):
        raise BadInputError(f"invalid mode: {mode}", "write ro or rw behind the container")
    for mount in shelf.find(name).record.mounts:
        if mount.type != "tmpfs":
            read_only = mount.read_only or mode == "ro"
            yield msgspec.structs.replace(mount, read_only=read_only, anonymous=False, copy=False)


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
    place = {
        "Source": mount.source,
        "Destination": mount.destination,
        "Mode": mount.mode,
        "RW": not mount.read_only,
    }
    return data | place | {"Propagation": mount.propagation if mount.type == "bind" else ""}


def _from_bind(text: str, volumes: Path) -> Mount:
    parts = text.split(":")
    if len(parts) == 1:
        return _anonymous(_clean(parts[0]), volumes)
    if len(parts) > 3 or not parts[0] or not parts[1]:
        raise BadInputError(
            f"invalid volume specification: '{text}'", "write /host/path:/container/path, or name:/path"
        )
    mode = parts[2] if len(parts) == 3 else ""
    options = set(mode.split(","))
    is_bind = parts[0].startswith("/")
    own = _PROPAGATION if is_bind else {"nocopy"}
    propagation = options & _PROPAGATION
    if options - _IGNORED - {"ro"} - own or options >= {"ro", "rw"} or len(propagation) > 1:
        raise BadInputError(f"invalid mode: {mode}", f"such as ro, rw, {', '.join(sorted(own))}")
    read_only = "ro" in options
    if not is_bind:
        copy = "nocopy" not in options
        return _volume(parts[0], _clean(parts[1]), volumes, read_only=read_only, mode=mode, copy=copy)
    return Mount(
        "bind",
        _clean(parts[1]),
        os.path.normpath(parts[0]),
        read_only=read_only,
        mode=mode,
        propagation=propagation.pop() if propagation else "rprivate",
    )


def _from_request(request: MountRequest, volumes: Path) -> Mount:
    target = _clean(request.target)
    if request.type == "bind":
        return _requested_bind(request, target)
    if request.type == "tmpfs":
        return Mount("tmpfs", target, options=_tmpfs(list(_tmpfs_words(request))))
    if request.type == "volume":
        wishes = request.volume_options
        driver = wishes.driver_config.get("Name") or "local"
        if driver != "local" or wishes.driver_config.get("Options") or wishes.subpath:
            raise BadInputError(
                f'invalid mount config for type "volume": {request.target} asks for '
                + ("a subpath" if wishes.subpath else f"the driver {driver} with options"),
                "this engine has plain local volumes",
            )
        if not request.source:
            return _anonymous(target, volumes, read_only=request.read_only, copy=not wishes.no_copy)
        copy = not wishes.no_copy
        return _volume(request.source, target, volumes, read_only=request.read_only, copy=copy)
    raise BadInputError(f"mount type unknown: {request.type!r}", "this engine knows bind, volume and tmpfs")


def _requested_bind(request: MountRequest, target: str) -> Mount:
    options = request.bind_options
    if not request.source.startswith("/"):
        raise BadInputError(
            f"invalid mount config for type \"bind\": invalid mount path: '{request.source}' "
            "mount path must be absolute"
        )
    if not os.path.lexists(request.source) and not options.create_mountpoint:
        raise BadInputError(
            f'invalid mount config for type "bind": bind source path does not exist: {request.source}',
            "make it first; -v would make an empty folder",
        )
    if options.propagation and options.propagation not in _PROPAGATION:
        raise BadInputError(
            f'invalid mount config for type "bind": invalid propagation mode: {options.propagation}',
            f"there are {', '.join(sorted(_PROPAGATION))}",
        )
    return Mount(
        "bind",
        target,
        os.path.normpath(request.source),
        read_only=request.read_only,
        propagation=options.propagation or "rprivate",
        recursive=not options.non_recursive,
    )


def _tmpfs_words(request: MountRequest) -> Iterator[str]:
    options = request.tmpfs_options
    if request.source:
        raise BadInputError('invalid mount config for type "tmpfs": field Source must not be specified')
    if options.size_bytes:
        yield f"size={options.size_bytes}"
    yield f"mode={options.mode or 0o1777:o}"
    yield from ("=".join(option) for option in options.options)
    if request.read_only:
        yield "ro"


def _volume(
    name: str, target: str, volumes: Path, *, read_only: bool, mode: str = "", copy: bool = True
) -> Mount:
    if not _NAME.fullmatch(name):
        raise BadInputError(
            f'create {name}: "{name}" includes invalid characters for a local volume name, '
            'only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. '
            "If you intended to pass a host directory, use absolute path"
        )
    return Mount(
        "volume", target, str(volumes / name / "_data"), name, read_only, mode=mode or "z", copy=copy
    )


def _anonymous(target: str, volumes: Path, *, read_only: bool = False, copy: bool = True) -> Mount:
    name = new_id()
    source = str(volumes / name / "_data")
    return Mount("volume", target, source, name, read_only, anonymous=True, copy=copy)


def _tmpfs(words: list[str]) -> str:
    for word in words:
        name, equals, _ = word.partition("=")
        if word and not (name in _TMPFS_VALUES if equals else name in _TMPFS):
            raise BadInputError(
                f'invalid tmpfs option ["{word}"]', "such as size=64m, mode=1777, uid=1000, exec, ro"
            )
    return ",".join(["nosuid", "nodev", "noexec", *(word for word in words if word)])


def _clean(path: str) -> str:
    if not path.startswith("/"):
        raise BadInputError(
            f"invalid mount path: '{path}' mount path must be absolute", "begin it with a slash"
        )
    clean = os.path.normpath("/" + path.lstrip("/"))
    if clean == "/":
        raise BadInputError("invalid specification: destination can't be '/'", "mount below the root")
    return clean
