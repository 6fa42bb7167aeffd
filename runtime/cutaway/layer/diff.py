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
from collections.abc import Iterator, Sequence
from pathlib import Path

from cutaway.layer.apply import OPAQUE, WHITEOUT
from cutaway.layer.streams import Writable
from cutaway.layer.tarring import TarWriter
from cutaway.layer.walk import Entry, is_whiteout, walk


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
    """Write the folder as a layer's tar. Returns the sum of the files' sizes in bytes."""
    tar = TarWriter(output)
    size = 0
    for entry in walk(upper):
        if entry.is_whiteout:
            tar.mark(entry.path.removesuffix(entry.name) + WHITEOUT + entry.name, entry.stat.st_mtime)
            continue
        size += tar.add(entry, entry.path)
        if entry.is_directory and entry.is_opaque():
            tar.mark(f"{entry.path}/{OPAQUE}", entry.stat.st_mtime)
    tar.end()
    return size


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
