"""The folder that a layer is unpacked into: makes files, folders, links and marks in it, and nothing outside.

Each thing is made relative to the descriptor of its parent folder. Parents are opened through `RootFiles`,
which never leaves the root; the last one stays open, because a tar lists a folder's members together. Order
matters for the rest: chown(2) clears the setuid bits and file capabilities, so owner comes before mode, and
mode before attributes; a folder's time changes with each child, so folders get theirs at the end.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from cutaway.errors import BadInputError
from cutaway.linux.files import RootFiles

WHITEOUT_DEVICE = os.makedev(0, 0)
_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.EXDEV)
_NOT_ALLOWED = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EINVAL)


def opaque_attribute() -> str:
    """What marks an opaque folder. Without root, overlayfs is mounted with `userxattr`."""
    return "trusted.overlay.opaque" if os.geteuid() == 0 else "user.overlay.opaque"


class Target:
    """A layer's folder while it is filled. Paths are relative, without `.` and `..`."""

    def __init__(self, folder: Path | int) -> None:
        """`folder` may be a descriptor, too."""
        self._root = root = RootFiles(folder)
        self._parent_path = ""
        self._parent = root.open("", os.O_RDONLY | os.O_DIRECTORY)
        self._times: dict[str, float] = {}
        self.skipped: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._parent)
        self._root.close()

    def directory(
        self, path: str, mode: int, uid: int, gid: int, mtime: float, attributes: Mapping[str, bytes]
    ) -> None:
        """Make a folder, or give the one that is there these properties."""
        parent, name = self._locate(path)
        replaces_deleted = self._is_whiteout(parent, name)
        if path and self._kind(parent, name) != stat.S_IFDIR:
            self._clear(parent, name)
            os.mkdir(name, 0o700, dir_fd=parent)
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            if replaces_deleted:
                os.setxattr(descriptor, opaque_attribute(), b"y")
            self._dress(descriptor, mode, uid, gid, attributes)
        finally:
            os.close(descriptor)
        self._times[path] = mtime

    @contextmanager
    def file(
        self, path: str, mode: int, uid: int, gid: int, mtime: float, attributes: Mapping[str, bytes]
    ) -> Iterator[int]:
        """Make a file; the block writes its content to the descriptor, then it gets its properties."""
        parent, name = self._locate(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            descriptor = os.open(name, flags, 0o600, dir_fd=parent)
        except FileExistsError:
            self._clear(parent, name)
            descriptor = os.open(name, flags, 0o600, dir_fd=parent)
        try:
            yield descriptor
            self._dress(descriptor, mode, uid, gid, attributes)
            os.utime(descriptor, ns=_times(mtime))
        finally:
            os.close(descriptor)

    def symlink(self, path: str, goal: str, uid: int, gid: int, mtime: float) -> None:
        """Make a symbolic link. Its goal is kept as it is: it means something only in a container."""
        parent, name = self._locate(path)
        self._clear(parent, name)
        os.symlink(goal, name, dir_fd=parent)
        self._own(name, parent, uid, gid)
        os.utime(name, ns=_times(mtime), dir_fd=parent, follow_symlinks=False)

    def hardlink(self, path: str, goal: str) -> None:
        """Make one more name of a member that is here already. Raises BadInputError for anything else."""
        parent, name = self._locate(path)
        goal_folder, _, goal_name = goal.rpartition("/")
        if path == goal:
            return
        try:
            folder = self._root.open(goal_folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                if stat.S_ISDIR(os.lstat(goal_name, dir_fd=folder).st_mode):
                    raise BadInputError(f"archive member {path} is a hard link to a folder")
                self._clear(parent, name)
                os.link(goal_name, name, src_dir_fd=folder, dst_dir_fd=parent, follow_symlinks=False)
            finally:
                os.close(folder)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BadInputError(
                f"archive member {path} is a hard link to {goal}, which is not in the layer"
            ) from error

    def node(self, path: str, mode: int, device: int, uid: int, gid: int, mtime: float) -> None:
        """Make a device or a pipe; without the right to, leave it out and say so."""
        parent, name = self._locate(path)
        self._clear(parent, name)
        try:
            os.mknod(name, mode, device, dir_fd=parent)
        except PermissionError:
            self.skipped.add("device nodes")
            return
        self._own(name, parent, uid, gid)
        os.chmod(name, stat.S_IMODE(mode), dir_fd=parent)  # mknod's mode went through the umask
        os.utime(name, ns=_times(mtime), dir_fd=parent, follow_symlinks=False)

    def whiteout(self, folder: str, name: str) -> None:
        """Mark what lower layers have under this name as deleted."""
        parent = self._open_parent(folder)
        kind = self._kind(parent, name)
        if kind == stat.S_IFDIR:
            self.make_opaque(f"{folder}/{name}".lstrip("/"))
        elif kind == 0:
            os.mknod(name, stat.S_IFCHR, WHITEOUT_DEVICE, dir_fd=parent)  # needs no right: mknod(2)

    def make_opaque(self, folder: str) -> None:
        """Hide what lower layers have in this folder."""
        os.setxattr(self._open_parent(folder), opaque_attribute(), b"y")

    def finish(self) -> None:
        """Give the folders their times. Those that a later member replaced are gone and have none."""
        for path, mtime in self._times.items():
            try:
                descriptor = self._root.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except OSError:
                continue
            os.utime(descriptor, ns=_times(mtime))
            os.close(descriptor)

    def _locate(self, path: str) -> tuple[int, str]:
        folder, _, name = path.rpartition("/")
        return self._open_parent(folder), name or "."

    def _open_parent(self, folder: str) -> int:
        """A descriptor of a folder below the root, made with its parents where it is missing."""
        if folder == self._parent_path:
            return self._parent
        try:
            try:
                descriptor = self._root.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                self._root.makedirs(folder, 0o755)
                descriptor = self._root.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            if error.errno not in _NO_FOLDER:
                raise
            raise BadInputError(f"archive has members below {folder}, which is not a folder") from error
        os.close(self._parent)
        self._parent, self._parent_path = descriptor, folder
        return descriptor

    def _clear(self, parent: int, name: str) -> None:
        """Remove what an earlier member left under this name."""
        kind = self._kind(parent, name)
        if kind == stat.S_IFDIR:
            self._root.rmtree(f"{self._parent_path}/{name}".lstrip("/"))
        elif kind:
            os.unlink(name, dir_fd=parent)

    @staticmethod
    def _kind(parent: int, name: str) -> int:
        """The file type bits of what is there; 0 for nothing."""
        try:
            return int(stat.S_IFMT(os.lstat(name, dir_fd=parent).st_mode))
        except FileNotFoundError:
            return 0

    @staticmethod
    def _is_whiteout(parent: int, name: str) -> bool:
        try:
            found = os.lstat(name, dir_fd=parent)
        except FileNotFoundError:
            return False
        return stat.S_ISCHR(found.st_mode) and found.st_rdev == WHITEOUT_DEVICE

    def _own(self, name: str, parent: int, uid: int, gid: int) -> None:
        try:
            os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
        except PermissionError:
            self.skipped.add("owners")

    def _dress(self, descriptor: int, mode: int, uid: int, gid: int, attributes: Mapping[str, bytes]) -> None:
        try:
            os.fchown(descriptor, uid, gid)
        except PermissionError:
            self.skipped.add("owners")
        os.fchmod(descriptor, mode & 0o7777)
        for name, value in attributes.items():
            try:
                os.setxattr(descriptor, name, value)
            except OSError as error:
                if error.errno not in _NOT_ALLOWED:
                    raise
                self.skipped.add(f"attribute {name}")


def _times(mtime: float) -> tuple[int, int]:
    """Access and modification time in nanoseconds, within what file systems keep."""
    whole = max(-(2**31), min(int(mtime), 2**34 - 2**31 - 1))
    value = whole * 10**9 + int((mtime % 1) * 10**9)
    return value, value
