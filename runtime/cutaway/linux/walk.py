"""Walking a path below a root without `openat2`, just as safely.

One name at a time. Each is opened with O_PATH and O_NOFOLLOW relative to the directory before it, so the
kernel follows nothing; what turns out to be a symbolic link is read and its names are put in front of those
that remain. For `..` there is no system call at all: the descriptors that led here are kept on a stack, and
`..` drops the last. At the root there is nothing to drop, so `..` stays there, as in a real root.

Nothing can be swapped under this walk: a descriptor stays tied to the directory it was opened on, wherever
that is moved, and the root's own parent is never opened.
"""

from __future__ import annotations

import errno
import os
import stat

_MAX_LINKS = 40  # the kernel's own limit, path_resolution(7)
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class SafeWalk:
    """Opens paths below a directory descriptor, which stays the caller's."""

    def __init__(self, root: int) -> None:
        self._root = root

    def open(self, path: str, flags: int, mode: int) -> int:
        """As open(2) with the root as `/`.

        O_CREAT makes a missing last name, through a link to nothing too.
        """
        stack: list[int] = []
        try:
            return self._open(stack, path, flags, mode)
        finally:
            for fd in stack:
                os.close(fd)

    def _open(self, stack: list[int], path: str, flags: int, mode: int) -> int:
        remaining = _split(path)
        links = 0
        while remaining:
            name = remaining.pop()
            if name == "..":
                if stack:
                    os.close(stack.pop())
                continue
            current = stack[-1] if stack else self._root
            if not remaining and flags & os.O_CREAT and not _is_link(current, name):
                return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=current)
            fd = os.open(name, _STEP, dir_fd=current)
            stack.append(fd)
            kind = os.fstat(fd).st_mode
            if stat.S_ISLNK(kind) and (remaining or not flags & os.O_NOFOLLOW):
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                self._follow(stack, remaining)
            elif remaining and not stat.S_ISDIR(kind):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return self._reopen(stack[-1] if stack else self._root, path, flags, last=stack)

    def _follow(self, stack: list[int], remaining: list[str]) -> None:
        link = stack.pop()
        try:
            target = os.readlink("", dir_fd=link)  # of the very link that was opened
        finally:
            os.close(link)
        if target.startswith("/"):
            while stack:
                os.close(stack.pop())
        remaining += _split(target)

    def _reopen(self, fd: int, path: str, flags: int, *, last: list[int]) -> int:
        """Open what O_PATH found, for real.

        /proc is a magic link to just that file: no name is looked up again.
        """
        if flags & os.O_PATH:
            if flags & os.O_DIRECTORY and not stat.S_ISDIR(os.fstat(fd).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            return os.dup(fd)
        kind = os.fstat(fd).st_mode
        if stat.S_ISLNK(kind):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if stat.S_ISDIR(kind):
            return os.open(".", flags & ~os.O_NOFOLLOW, dir_fd=fd)
        return os.open(f"/proc/self/fd/{fd}", flags & ~(os.O_CREAT | os.O_NOFOLLOW))


def _split(path: str) -> list[str]:
    """The names, the first one last, so that it can be popped."""
    names = [name for name in path.split("/") if name not in ("", ".")]
    names.reverse()
    return names


def _is_link(directory: int, name: str) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
