"""`docker cp` and `docker export`: files of a container as a tar, and a tar into a container.

Paths are the container's, with Docker's fine distinctions: the last name's own link is meant, unless a slash
or `/.` follows it; `folder` packs as `folder/…`, `folder/.` as `./…`. What a client gets to know of a path
beforehand (`Stat`) is Docker's `X-Docker-Container-Path-Stat`, whose mode is that of Go.

Sources: Docker Engine API, `/containers/{id}/archive`; Go, io/fs FileMode.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import posixpath
import stat
from collections.abc import Iterator
from typing import Any

from cutaway.container.preparation import Preparation
from cutaway.container.records import Record, rfc3339
from cutaway.container.rootview import RootView
from cutaway.container.shelf import Kept
from cutaway.container.users import User
from cutaway.errors import BadInputError, CutawayError, NotFoundError, NotPermittedError
from cutaway.layer import members, streams
from cutaway.layer.apply import place, safe_path
from cutaway.layer.streams import Readable, Writable
from cutaway.layer.target import Target
from cutaway.layer.tarring import TarWriter
from cutaway.layer.walk import Entry, walk
from cutaway.linux.files import RootFiles

MOST_LINKS = 40  # as the kernel: path_resolution(7)

_GO_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_GO_BITS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


@dataclasses.dataclass(frozen=True, slots=True)
class PathStat:
    """What is at a path. `link_target` is the whole path that a link leads to, "" for what is no link."""

    name: str
    found: os.stat_result
    link_target: str = ""

    def to_docker(self) -> dict[str, Any]:
        """The JSON of the header."""
        mode = self.found.st_mode
        go = stat.S_IMODE(mode) & 0o777 | _GO_KINDS.get(stat.S_IFMT(mode), 0)
        go |= sum(bit for ours, bit in _GO_BITS.items() if mode & ours)
        return {
            "name": self.name,
            "size": self.found.st_size,
            "mode": go,
            "mtime": rfc3339(self.found.st_mtime_ns),
            "linkTarget": self.link_target,
        }


@dataclasses.dataclass(frozen=True, slots=True)
class UnpackOptions:
    """`keep_kinds`: no folder takes a file's place, nor a file a folder's. `own`: all goes to the user."""

    keep_kinds: bool = False
    own: bool = False


class Moving:
    """Files in and out of the containers of one engine."""

    def __init__(self, view: RootView, preparation: Preparation) -> None:
        self._view, self._preparation = view, preparation

    async def stat(self, kept: Kept, path: str) -> PathStat:
        """Raises NotFoundError in Docker's words."""
        return await self._view.within(kept, lambda files: _stat(files, path, kept.record))

    async def pack(self, kept: Kept, path: str, output: Writable) -> None:
        """Write what is at the path as a tar. Raises NotFoundError before anything is written."""

        def work(files: RootFiles) -> None:
            found = _stat(files, path, kept.record)
            _pack(files, path, found, output)

        await self._view.within(kept, work)

    async def unpack(self, kept: Kept, path: str, source: Readable, options: UnpackOptions) -> None:
        """Unpack a tar, plain or compressed, in a folder of the container.

        Raises NotFoundError for the folder, BadInputError when it is none or the tar is damaged,
        NotPermittedError where the container may not write either.
        """
        record = kept.record
        _check_writable(record, path)
        owner = self._preparation.user(record, record.config.user) if options.own else None

        def work(files: RootFiles) -> None:
            found = _stat(files, path, record)
            if stat.S_ISLNK(found.found.st_mode):
                found = _stat(files, found.link_target, record)
            if not stat.S_ISDIR(found.found.st_mode):
                raise BadInputError("extraction point is not a directory", f"name a folder instead of {path}")
            try:
                with Target(files.descriptor) as target:
                    _unpack(source, files, target, path, options, owner)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise CutawayError(f"cannot write to {path} in container {record.name}: {reason}") from error

        await self._view.within(kept, work)

    async def export(self, kept: Kept, output: Writable) -> None:
        """Write the container's own file system, image and changes, without what is mounted upon it."""

        def work(files: RootFiles) -> None:
            tar = TarWriter(output)
            with _folder(files, "/") as top:
                for entry in walk(top):
                    tar.add(entry, entry.path)
            tar.end()

        await self._view.within(kept, work, volumes=False)


def resolve(files: RootFiles, path: str) -> str:
    """The path with every link followed, as far as there is something. Told to clients, never opened."""
    names = [name for name in path.split("/") if name not in ("", ".")]
    done: list[str] = []
    links = 0
    while names:
        name = names.pop(0)
        if name == "..":
            done = done[:-1]
            continue
        here = "/".join([*done, name])
        try:
            goal = files.readlink(here)
        except OSError:
            done.append(name)
            continue
        links += 1
        if links > MOST_LINKS:
            break
        if goal.startswith("/"):
            done = []
        names = [part for part in goal.split("/") if part not in ("", ".")] + names
    return "/" + "/".join(done)


def _stat(files: RootFiles, path: str, record: Record) -> PathStat:
    whole = "/" + path.lstrip("/")
    follow = whole.endswith(("/", "/."))
    try:
        found = files.stat(whole) if follow else files.lstat(whole)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(
            f"Could not find the file {path} in container {record.name}",
            "look around with exec and ls",
        ) from error
    except OSError as error:
        raise BadInputError(
            f"cannot look at {path} in container {record.name}: {(error.strerror or '').lower()}"
        ) from error
    is_link = stat.S_ISLNK(found.st_mode)
    return PathStat(_base(whole), found, resolve(files, whole) if is_link else "")


def _base(path: str) -> str:
    """Go's `filepath.Base`: the last name; `/` for the root, `.` behind a slash."""
    if path.endswith("/."):
        return "."
    return posixpath.basename(path.rstrip("/")) or "/"


@contextlib.contextmanager
def _folder(files: RootFiles, path: str) -> Iterator[Entry]:
    """The folder at a path as where a walk begins."""
    descriptor = files.open(path, os.O_PATH | os.O_DIRECTORY)
    try:
        yield Entry("", ".", descriptor, os.fstat(descriptor))
    finally:
        os.close(descriptor)


def _pack(files: RootFiles, path: str, found: PathStat, output: Writable) -> None:
    tar = TarWriter(output)
    whole = "/" + path.lstrip("/")
    if stat.S_ISDIR(found.found.st_mode):
        prefix = found.name.rstrip("/") + "/"
        with _folder(files, whole) as top:
            tar.add(top, prefix)
            for entry in walk(top):
                tar.add(entry, prefix + entry.path)
    else:
        folder, _, name = whole.rpartition("/")
        descriptor = files.open_directory(folder or "/")
        try:
            tar.add(Entry(name, name, descriptor, os.lstat(name, dir_fd=descriptor)), found.name)
        finally:
            os.close(descriptor)
    tar.end()


def _unpack(
    source: Readable, files: RootFiles, target: Target, path: str, options: UnpackOptions, owner: User | None
) -> None:
    base = path.strip("/")
    plain, _ = streams.decompressed(source)
    with members.reading(plain) as tar:
        for info in members.members(tar):
            inner = safe_path(info.name)
            if not inner:
                continue  # the folder itself is there, and keeps what it is
            if owner:
                info.uid, info.gid = owner.uid, owner.gid
            goal = f"{base}/{safe_path(info.linkname)}".lstrip("/") if info.islnk() else ""
            place_at = f"{base}/{inner}".lstrip("/")
            if options.keep_kinds:
                _check_kind(files, place_at, directory=info.isdir())
            place(tar, info, target, place_at, goal)
        target.finish()


def _check_kind(files: RootFiles, path: str, *, directory: bool) -> None:
    try:
        there = stat.S_ISDIR(files.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return
    if there and not directory:
        raise BadInputError(f'cannot overwrite directory "/{path}" with non-directory', "choose another name")
    if directory and not there:
        raise BadInputError(f'cannot overwrite non-directory "/{path}" with directory', "choose another name")


def _check_writable(record: Record, path: str) -> None:
    """A read-only root or volume stays so for cp too."""
    whole = posixpath.normpath("/" + path.lstrip("/"))
    inside = [m for m in record.mounts if (whole + "/").startswith(m.destination.rstrip("/") + "/")]
    mount = max(inside, key=lambda mount: len(mount.destination), default=None)
    if mount is None and record.host.readonly_rootfs:
        raise NotPermittedError(
            "container rootfs is marked read-only",
            "copy into one of its volumes",
        )
    if mount is not None and mount.read_only:
        raise NotPermittedError("mounted volume is marked read-only", f"see its mount at {mount.destination}")
