"""Unpack a layer's tar into a folder that overlayfs can mount.

A layer says what was *added or changed* by being there, and what was *deleted* by marks:

    in the tar                for overlayfs
    dir/.wh.name              dir/name is a character device 0:0 (a "whiteout")
    dir/.wh..wh..opq          dir has the attribute trusted.overlay.opaque=y (nothing below shines through)

The tar comes from a stranger. Every member is made relative to the descriptor of its parent folder, which
is opened below the layer's root and nowhere else; the last part of a path is never followed. So
`../../etc/passwd` is refused, and a link to `/etc` is kept as it is but leads nowhere while unpacking.
Sources: OCI image-spec, layer.md; kernel Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

from cutaway.errors import BadInputError, CutawayError
from cutaway.layer import members, streams
from cutaway.layer.streams import Readable
from cutaway.layer.target import Target

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
MOST_MEMBERS = 5_000_000
RESERVE = 64 << 20  # bytes that stay free on the disk whatever an archive holds
_ATTRIBUTE = "SCHILY.xattr."

Progress = Callable[[int], None]
"""Called with the bytes written so far, often; may raise to stop."""


@dataclasses.dataclass(slots=True)
class Applied:
    """What was unpacked. `size` sums the files' bytes; `skipped` says for what rights were missing."""

    size: int = 0
    members: int = 0
    skipped: list[str] = dataclasses.field(default_factory=list)


def apply(source: Readable, folder: Path, progress: Progress | None = None) -> Applied:
    """Unpack a plain tar stream into an empty folder, to its last byte.

    Without root, owners stay ours and device nodes are left out; both are told in `skipped`. Raises
    BadInputError for a damaged archive and for a member that leads out of the folder, CutawayError when the
    disk cannot hold it. The folder is the caller's to remove then.
    """
    budget = _budget(folder)
    done = Applied()
    with Target(folder) as target, members.reading(source) as tar:
        for info in members.members(tar):
            done.members += 1
            done.size += info.size if info.isreg() and not info.issparse() else 0
            if done.size > budget or done.members > MOST_MEMBERS:
                raise CutawayError(f"no space left on the disk of {folder}: the archive unpacks to more")
            _place(tar, info, target)
            if progress is not None:
                progress(done.size)
        target.finish()
        done.skipped = sorted(target.skipped)
    while source.read(streams.CHUNK):  # padding after the end belongs to the digest
        pass
    return done


def _budget(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize - RESERVE


def safe_path(name: str) -> str:
    """`./a//b/` → `a/b`; empty for the root. Raises BadInputError for a path with `..` in it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BadInputError(
            f"archive member {name} leads out of the layer", "the archive is not to be trusted"
        )
    return "/".join(parts)


def _place(tar: tarfile.TarFile, info: tarfile.TarInfo, target: Target) -> None:
    path = safe_path(info.name)
    parent, _, name = path.rpartition("/")
    if name == OPAQUE:
        target.make_opaque(parent)
    elif name.startswith(WHITEOUT + WHITEOUT):
        pass  # bookkeeping of aufs, e.g. .wh..wh.plnk
    elif name.startswith(WHITEOUT):
        target.whiteout(parent, _deleted_name(info.name, name))
    else:
        place(tar, info, target, path, safe_path(info.linkname) if info.islnk() else "")


def place(tar: tarfile.TarFile, info: tarfile.TarInfo, target: Target, path: str, goal: str) -> None:
    """Make one member at `path`; `goal` is the path of what a hard link is another name of."""
    if not path or info.isdir():
        target.directory(path, info.mode, info.uid, info.gid, info.mtime, _attributes(info))
    elif info.islnk():
        target.hardlink(path, goal)
    elif info.issym():
        target.symlink(path, info.linkname, info.uid, info.gid, info.mtime)
    elif info.ischr() or info.isblk() or info.isfifo():
        device = os.makedev(info.devmajor, info.devminor)
        kind = stat.S_IFCHR if info.ischr() else stat.S_IFBLK if info.isblk() else stat.S_IFIFO
        target.node(path, kind | info.mode & 0o7777, device, info.uid, info.gid, info.mtime)
    else:
        _place_file(tar, info, target, path)


def _deleted_name(member: str, name: str) -> str:
    deleted = name.removeprefix(WHITEOUT)
    if deleted in ("", ".", ".."):
        raise BadInputError(f"archive member {member} deletes nothing that can be named")
    return deleted


def _place_file(tar: tarfile.TarFile, info: tarfile.TarInfo, target: Target, path: str) -> None:
    with target.file(path, info.mode, info.uid, info.gid, info.mtime, _attributes(info)) as descriptor:
        source = tar.extractfile(info)
        if source is None:
            return
        if info.issparse():
            _copy_sparse(source.read, info, descriptor)
            return
        left = info.size
        while left:
            data = source.read(min(left, streams.CHUNK))
            if not data:
                raise tarfile.ReadError("unexpected end of data")
            write_all(descriptor, data)
            left -= len(data)


def _copy_sparse(read: Callable[[int], bytes], info: tarfile.TarInfo, descriptor: int) -> None:
    """Write what is not zero and leave holes for the rest."""
    left = info.size
    while left:
        data = read(min(left, 1 << 16))
        if not data:
            raise tarfile.ReadError("unexpected end of data")
        if data.count(0) == len(data):
            os.lseek(descriptor, len(data), os.SEEK_CUR)
        else:
            write_all(descriptor, data)
        left -= len(data)
    os.ftruncate(descriptor, info.size)


def write_all(descriptor: int, data: bytes) -> None:
    """write(2) until everything is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _attributes(info: tarfile.TarInfo) -> dict[str, bytes]:
    """A member's extended attributes from its pax headers; overlayfs's own are not for strangers."""
    return {
        key.removeprefix(_ATTRIBUTE): value.encode("utf-8", "surrogateescape")
        for key, value in info.pax_headers.items()
        if key.startswith(_ATTRIBUTE) and ".overlay." not in key
    }
