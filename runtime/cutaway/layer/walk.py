"""Walk a folder that somebody else may be changing at this moment.

A running container owns its upper directory: between our look at `a` and our step into `a`, it may replace
the folder by a link to `/etc`. So every step is taken from the descriptor of the folder before, with
`O_NOFOLLOW`, and files are opened the same way. What vanishes meanwhile is left out. Source: openat(2),
"Rationale for openat()".
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
PATH_MAX = 4096
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One thing in a walked folder. `folder` is a descriptor, open only until the next entry is asked for."""

    path: str
    """Relative to where the walk began."""
    name: str
    folder: int
    stat: os.stat_result

    @property
    def is_directory(self) -> bool:
        """A folder; its entries come next in the walk."""
        return stat.S_ISDIR(self.stat.st_mode)

    @property
    def is_whiteout(self) -> bool:
        """Overlayfs's mark for "deleted here"."""
        return is_whiteout(self.stat)

    @property
    def size(self) -> int:
        """Bytes of a regular file; 0 for everything else."""
        return self.stat.st_size if stat.S_ISREG(self.stat.st_mode) else 0

    def open(self, flags: int = os.O_RDONLY) -> int:
        """A descriptor of this very file or folder.

        It is pinned before it is opened: opening a device that was put in its place could already do
        something. Raises FileNotFoundError when another is there by now.
        """
        pinned = os.open(self.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.folder)
        try:
            there = os.fstat(pinned)
            # The number of a deleted file is soon given to a new one, which may be of another kind.
            if not os.path.samestat(there, self.stat) or stat.S_IFMT(there.st_mode) != stat.S_IFMT(
                self.stat.st_mode
            ):
                raise FileNotFoundError(errno.ENOENT, "replaced by another while it was read", self.path)
            flags = flags & ~os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return os.open(f"/proc/self/fd/{pinned}", flags)
        finally:
            os.close(pinned)

    def is_opaque(self) -> bool:
        """Whether this folder hides what lower layers have in it."""
        try:
            with self.opened() as descriptor:
                return any(name in _OPAQUE for name in os.listxattr(descriptor))
        except FileNotFoundError:  # gone, and what was in it too
            return False

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """`open` for a block."""
        descriptor = self.open()
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def is_whiteout(found: os.stat_result) -> bool:
    """A character device 0:0."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def walk(root: Path | Entry) -> Iterator[Entry]:
    """Everything below a folder: a folder before its entries, names in byte order. Without the root.

    Raises OSError (ENAMETOOLONG) for a tree so deep that no path can name its end: path_resolution(7).
    """
    descriptor = root.open(_DIRECTORY) if isinstance(root, Entry) else os.open(root, _DIRECTORY)
    levels = [_Level(descriptor, "")]
    try:
        while levels:
            level = levels[-1]
            name = next(level.names, None)
            if name is None:
                os.close(levels.pop().folder)
                continue
            try:
                found = os.lstat(name, dir_fd=level.folder)
            except FileNotFoundError:
                continue
            entry = Entry(level.prefix + name, name, level.folder, found)
            yield entry
            if entry.is_directory:
                below = _enter(entry)
                if below is not None:
                    levels.append(below)
    finally:
        for level in levels:
            os.close(level.folder)


class _Level:
    """An open folder of which some names are still to come. A stack of these: a tree may be deep."""

    def __init__(self, folder: int, prefix: str) -> None:
        self.folder, self.prefix = folder, prefix
        self.names = iter(sorted(os.listdir(folder), key=os.fsencode))


def _enter(entry: Entry) -> _Level | None:
    if len(os.fsencode(entry.path)) >= PATH_MAX:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), entry.path[:60] + "…")
    try:
        descriptor = os.open(entry.name, _DIRECTORY, dir_fd=entry.folder)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None  # gone, or another thing by now
        raise
    return _Level(descriptor, entry.path + "/")
