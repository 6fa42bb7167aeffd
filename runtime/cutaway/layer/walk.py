"""Walk a folder that somebody else may be changing at this moment.

A running container owns its upper directory: between our look at `a` and our step into `a`, it may replace
the folder by a link to `/etc`. So every step is taken from the descriptor of the folder before, with
`O_NOFOLLOW`, and files are opened the same way. What vanishes meanwhile is left out. Source: openat(2),
"Rationale for openat()".
"""

from __future__ import annotations

import dataclasses
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
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
            if not os.path.samestat(os.fstat(pinned), self.stat):
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

    @contextmanager
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
    """Everything below a folder: a folder before its entries, names in byte order. Without the root."""
    descriptor = root.open(_DIRECTORY) if isinstance(root, Entry) else os.open(root, _DIRECTORY)
    try:
        yield from _walk(descriptor, "")
    finally:
        os.close(descriptor)


def _walk(folder: int, prefix: str) -> Iterator[Entry]:
    for name in sorted(os.listdir(folder), key=os.fsencode):
        try:
            entry = Entry(prefix + name, name, folder, os.lstat(name, dir_fd=folder))
        except FileNotFoundError:
            continue
        yield entry
        if entry.is_directory:
            try:
                descriptor = os.open(name, _DIRECTORY, dir_fd=folder)
            except (FileNotFoundError, NotADirectoryError, OSError):
                continue
            try:
                yield from _walk(descriptor, entry.path + "/")
            finally:
                os.close(descriptor)
