"""Learning that a file changed without asking again and again, inotify(7).

The kernel hands out a descriptor that becomes readable when something happened to what is watched. An event
loop waits for it like for a socket. One event says which watch, what happened, and, for a watched directory,
to which name.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import Self

from cutaway.linux import constants
from cutaway.linux.kernel import Kernel

_HEADER = struct.Struct("=iIII")
CHANGES = constants.IN_MODIFY | constants.IN_MOVE_SELF | constants.IN_DELETE_SELF
NAMES = constants.IN_CREATE | constants.IN_DELETE | constants.IN_MOVED_FROM | constants.IN_MOVED_TO


@dataclass(frozen=True, slots=True)
class Change:
    """What happened: the number that `watch` gave, the bits of inotify(7), and in a directory the name."""

    watch: int
    mask: int
    name: str


class Watcher:
    """Watches paths. `fd` is for `loop.add_reader`; then `read()` never waits.

    A context manager; or `close()`.
    """

    def __init__(self) -> None:
        self._kernel = Kernel()
        self.fd = self._kernel.inotify_init()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching all. May be called twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def watch(self, path: str | os.PathLike[str], mask: int = CHANGES) -> int:
        """Watch a file for being written, renamed and removed, or with `NAMES` a directory for its entries.

        Returns the number that changes will carry. FileNotFoundError when there is nothing; ENOSPC when the
        user watches too much (fs.inotify.max_user_watches).
        """
        return self._kernel.inotify_add_watch(self.fd, os.fspath(path), mask)

    def read(self) -> list[Change]:
        """What happened since the last time; empty when nothing did. Does not wait."""
        try:
            data = os.read(self.fd, 65536)
        except BlockingIOError:
            return []
        return parse(data)


def parse(data: bytes) -> list[Change]:
    """The events in what an inotify descriptor gave."""
    changes, position = [], 0
    while position < len(data):
        watch, mask, _cookie, length = _HEADER.unpack_from(data, position)
        position += _HEADER.size
        name = data[position : position + length].rstrip(b"\0")
        changes.append(Change(watch, mask, os.fsdecode(name)))
        position += length
    return changes
