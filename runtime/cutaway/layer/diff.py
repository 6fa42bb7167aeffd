"""What a container changed: its upper directory, as a layer's tar and as Docker's list of changes.

Overlayfs keeps every change in the *upper* directory: new and changed files as they are, a deleted one as a
character device 0:0, a folder that was deleted and made anew as one with the attribute `opaque`. So a diff
does not compare files; it reads the upper directory and translates the marks back to the tar's form
(`apply` is the other way). The tar is deterministic: names sorted, owners as numbers, whole seconds; the
same folder gives the same digest. Sources: OCI image-spec, layer.md; Docker Engine API `GET
/containers/{id}/changes`.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cutaway.layer.apply import OPAQUE, WHITEOUT
from cutaway.layer.streams import CHUNK, Writable
from cutaway.layer.walk import Entry, is_whiteout, walk

_KEPT_ATTRIBUTES = ("security.capability", "user.")
_KINDS = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One changed path. `kind` is `A` added, `C` changed or `D` deleted; `path` begins with a slash."""

    kind: str
    path: str
    size: int = 0

    def to_docker(self) -> dict[str, object]:
        """`{"Path": "/x", "Kind": 1}`: 0 changed, 1 added, 2 deleted."""
        return {"Path": self.path, "Kind": "CAD".index(self.kind)}


def write_tar(upper: Path, output: Writable) -> int:
    """Write the folder as a layer's tar. Returns the sum of the files' sizes in bytes.

    Sockets are left out: they mean nothing without the process that listens. A file that shrinks while it is
    read is filled with zeros, one that grows is cut: the header comes first.
    """
    seen: dict[tuple[int, int], str] = {}
    size = 0
    for entry in walk(upper):
        if stat.S_ISSOCK(entry.stat.st_mode):
            continue
        if entry.is_whiteout:
            _write_mark(output, entry.path.removesuffix(entry.name) + WHITEOUT + entry.name, entry)
            continue
        info = _header(entry)
        known = None if entry.is_directory else seen.setdefault(_inode(entry), entry.path)
        if known not in (None, entry.path) and entry.stat.st_nlink > 1:
            info.type, info.linkname, info.size = tarfile.LNKTYPE, known or "", 0
        try:
            size += _write_entry(output, info, entry)
        except FileNotFoundError:
            continue
        if entry.is_directory and entry.is_opaque():
            _write_mark(output, f"{entry.path}/{OPAQUE}", entry)
    output.write(bytes(2 * tarfile.BLOCKSIZE))
    return size


def _inode(entry: Entry) -> tuple[int, int]:
    return entry.stat.st_dev, entry.stat.st_ino


def _header(entry: Entry) -> tarfile.TarInfo:
    found = entry.stat
    info = tarfile.TarInfo(entry.path + "/" * entry.is_directory)
    info.type = _KINDS[stat.S_IFMT(found.st_mode)]
    info.mode = stat.S_IMODE(found.st_mode)
    info.uid, info.gid = found.st_uid, found.st_gid
    info.mtime = int(found.st_mtime)
    info.size = entry.size
    if info.ischr() or info.isblk():
        info.devmajor, info.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
    return info


def _write_entry(output: Writable, info: tarfile.TarInfo, entry: Entry) -> int:
    if info.issym():
        info.linkname = os.readlink(entry.name, dir_fd=entry.folder)
    if info.type not in (tarfile.REGTYPE, tarfile.DIRTYPE):
        output.write(_encode(info))
        return 0
    with entry.opened() as descriptor:
        info.pax_headers = _attributes(descriptor)
        output.write(_encode(info))
        _copy(descriptor, info.size, output)
    return info.size


def _copy(descriptor: int, size: int, output: Writable) -> None:
    left = size
    while left:
        data = os.read(descriptor, min(left, CHUNK)) or bytes(min(left, CHUNK))
        output.write(data)
        left -= len(data)
    output.write(bytes(-size % tarfile.BLOCKSIZE))


def _write_mark(output: Writable, path: str, entry: Entry) -> None:
    info = tarfile.TarInfo(path)
    info.mode = 0
    info.mtime = int(entry.stat.st_mtime)
    output.write(_encode(info))


def _encode(info: tarfile.TarInfo) -> bytes:
    """The header; the pax form is used only for what the old one cannot hold."""
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _attributes(descriptor: int) -> dict[str, str]:
    return {
        "SCHILY.xattr." + name: os.getxattr(descriptor, name).decode("utf-8", "surrogateescape")
        for name in sorted(os.listxattr(descriptor))
        if name.startswith(_KEPT_ATTRIBUTES) and ".overlay." not in name
    }


def changes(upper: Path, lowers: Sequence[Path]) -> Iterator[Change]:
    """What the folder adds to, changes in and deletes from the layers below it; `lowers` has the nearest
    first.

    As Docker does, a folder counts as changed when something in it was, and what was in a deleted folder is
    not told one by one.
    """
    below: dict[str, list[Path]] = {"": list(lowers)}
    for entry in walk(upper):
        parent = entry.path.removesuffix(entry.name).rstrip("/")
        here = _below(below[parent], entry.name)
        path = "/" + entry.path
        if entry.is_whiteout:
            if here:
                yield Change("D", path)
            continue
        yield Change("C" if here else "A", path, entry.size)
        if entry.is_directory:
            folders = _folders(here)
            below[entry.path] = [] if entry.is_opaque() else folders
            if folders and not below[entry.path]:
                yield from _hidden(entry, path, folders)


def _below(folders: Sequence[Path], name: str) -> list[Path]:
    """What the lower layers have under this name, nearest first, down to what hides the rest."""
    found: list[Path] = []
    for folder in folders:
        path = folder / name
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if is_whiteout(status):
            break
        found.append(path)
        if not stat.S_ISDIR(status.st_mode) or _is_opaque(path):
            break
    return found


def _folders(paths: Sequence[Path]) -> list[Path]:
    return [path for path in paths if path.is_dir() and not path.is_symlink()]


def _is_opaque(path: Path) -> bool:
    return any(name.endswith(".overlay.opaque") for name in os.listxattr(path, follow_symlinks=False))


def _hidden(entry: Entry, path: str, folders: Sequence[Path]) -> Iterator[Change]:
    """What an opaque folder deleted without a mark of its own."""
    with entry.opened() as descriptor:
        kept = {item.name for item in os.scandir(descriptor)}
    names = {item.name for folder in folders for item in folder.iterdir()} - kept
    for name in sorted(names, key=os.fsencode):
        if _below(folders, name):
            yield Change("D", f"{path}/{name}")
