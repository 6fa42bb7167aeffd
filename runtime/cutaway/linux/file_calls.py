"""The system calls on files that Python's `os` has already, as steps use them.

They are methods beside those of `Kernel`, so that a recorder can stand in for all of them at once. Making
something that is there already is fine for most of them: an image often brings its own /proc and /dev.
"""

from __future__ import annotations

import os
import stat


class FileCalls:
    """Plain work with files and directories, by path, in the root that the process has now."""

    def open(self, path: str, flags: int, mode: int = 0) -> int:
        """open(2). The descriptor is closed on exec."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def close(self, fd: int) -> None:
        """close(2)."""
        os.close(fd)

    def dup2(self, fd: int, target: int) -> None:
        """Make `target` a copy of `fd` that the next program inherits, dup2(2)."""
        os.dup2(fd, target)

    def is_directory(self, fd: int) -> bool:
        """Whether a descriptor is open on a directory, fstat(2)."""
        return stat.S_ISDIR(os.fstat(fd).st_mode)

    def is_symlink(self, path: str) -> bool:
        """Whether the path itself is a symbolic link, lstat(2). False when there is nothing."""
        return os.path.islink(path)

    def write_file(self, path: str, text: str) -> None:
        """Write to a file that is there already, in one write(2): what /proc and /sys ask for."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, os.fsencode(text))
        except OSError as error:
            error.filename = path
            raise
        finally:
            os.close(fd)

    def read_file(self, path: str) -> str:
        """The whole text of a small file of /proc or /sys."""
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()

    def mkdir(self, path: str, mode: int) -> None:
        """mkdir(2); one that is there already is fine."""
        try:
            os.mkdir(path, mode)
        except FileExistsError:
            pass

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Give a file to a user and a group; of a symbolic link the link itself, lchown(2)."""
        os.lchown(path, uid, gid)

    def makedirs(self, path: str, mode: int) -> None:
        """mkdir(2) for the path and all that is missing above it, also behind a symbolic link to nothing."""
        try:
            os.mkdir(path, mode)
        except OSError:  # there already, or more is missing
            os.makedirs(os.path.realpath(path), mode, exist_ok=True)

    def resolve(self, path: str) -> str:
        """The path without symbolic links, whether or not there is something at its end."""
        return os.path.realpath(path)

    def mknod(self, path: str, mode: int, major: int, minor: int) -> None:
        """Make a device node, mknod(2); one that is there already is fine."""
        try:
            os.mknod(path, mode, os.makedev(major, minor))
        except FileExistsError:
            pass

    def symlink(self, target: str, path: str) -> None:
        """symlink(2); one that is there already is fine."""
        try:
            os.symlink(target, path)
        except FileExistsError:
            pass

    def rmdir(self, path: str) -> None:
        """rmdir(2)."""
        os.rmdir(path)

    def remove_tree(self, path: str) -> None:
        """Remove a directory of ours and all below it; nothing there is fine. Not for trees of an image."""
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        self.remove_tree(entry.path)
                    else:
                        os.unlink(entry.path)
        except FileNotFoundError:
            return
        os.rmdir(path)

    def chdir(self, path: str) -> None:
        """chdir(2)."""
        os.chdir(path)

    def fchdir(self, fd: int) -> None:
        """fchdir(2)."""
        os.fchdir(fd)

    def umask(self, mask: int) -> None:
        """umask(2)."""
        os.umask(mask)
