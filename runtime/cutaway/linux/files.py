"""Access to files below a root directory that cannot be led out of it.

A layer's archive, a container's file system, a build context: strangers wrote them, and they hold symbolic
links. `etc -> /etc` followed naively makes "write etc/passwd in the image" mean the host's. Checking the path
first and opening it then is no cure, for a container can swap a directory for a link in between.

So paths are never joined to the root as strings. The parent directory of what is asked for is opened with
`openat2` and `RESOLVE_IN_ROOT`: the kernel itself walks, treats the root as `/`, `..` and absolute links
included, and refuses when it cannot be sure. The last name is then used with that descriptor, by calls that
do not follow links. Where the kernel or a filter does not know `openat2` (before Linux 5.6), `SafeWalk` walks
name by name, opening each with O_NOFOLLOW and reading links itself; a directory that was swapped meanwhile is
simply not entered.

Paths are given as in the container: `/etc/passwd` and `etc/passwd` mean the same. Symbolic links on the way
are followed, within the root; the last name's own link only where a method says so.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import BinaryIO

from cutaway.linux.constants import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS
from cutaway.linux.kernel import Kernel
from cutaway.linux.removal import empty_directory, remove_entry
from cutaway.linux.walk import SafeWalk

_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_MAX_TRIES = 64  # openat2 says EAGAIN when something was renamed while it walked towards `..`


class RootFiles:
    """Files below `root`, a directory's path or an open descriptor of it. A context manager; or `close()`.

    All methods raise OSError as their namesakes in `os` do. Not found is FileNotFoundError, a loop of links
    is ELOOP. Descriptors that are returned are the caller's to close. `careful_walk` forces the way without
    openat2.
    """

    def __init__(self, root: str | os.PathLike[str] | int, *, careful_walk: bool = False) -> None:
        self._root = os.dup(root) if isinstance(root, int) else os.open(root, _DIRECTORY | os.O_CLOEXEC)
        self._kernel = Kernel()
        self._walk = SafeWalk(self._root)
        self._use_walk = careful_walk or not _has_openat2(self._kernel, self._root)

    def __enter__(self) -> RootFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the root. Descriptors that were handed out stay open."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    @property
    def descriptor(self) -> int:
        """The root itself, for those who open it once more."""
        return self._root

    # Opening --------------------------------------------------------------------------------------------

    def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
        """A descriptor of the file, a link at the end followed within the root.

        Flags as open(2); O_CREAT too.

        Opening for reading does not wait for a writer: a named pipe or a device of the image must not stop
        us, so O_NONBLOCK and O_NOCTTY are added; the flag stays set on the descriptor, where it means nothing
        for files.
        """
        flags |= os.O_CLOEXEC | (0 if flags & os.O_PATH else os.O_NOCTTY | os.O_NONBLOCK)
        if self._use_walk:
            return self._walk.open(path, flags, mode)
        return self._openat2(path, flags, mode if flags & os.O_CREAT else 0)

    def open_directory(self, path: str = ".") -> int:
        """A descriptor of a directory, for reading its entries and as `dir_fd`."""
        return self.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def read(self, path: str, limit: int | None = None) -> bytes:
        """The content of a regular file, at most `limit` bytes of it.

        OSError EINVAL for what is no regular file.
        """
        with self.stream(path) as file:
            return file.read(-1 if limit is None else limit)

    def stream(self, path: str) -> BinaryIO:
        """A regular file opened for reading; close it. OSError EINVAL for what is no regular file.

        Nothing else is ever opened: to open a device of a stranger's image can already do something.
        """
        pinned = self.open(path, os.O_PATH)
        try:
            if not stat.S_ISREG(os.fstat(pinned).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            return open(f"/proc/self/fd/{pinned}", "rb")
        finally:
            os.close(pinned)

    def create(self, path: str, mode: int = 0o600) -> int:
        """Make a new file and open it for writing; what had the name is FileExistsError, a link too."""
        with self._parent(path) as (parent, name):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.open(name, flags, mode, dir_fd=parent)

    def write_atomic(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Replace the file at once: readers see the old content or the new.

        A link at the end is replaced itself.
        """
        with self._parent(path) as (parent, name):
            temporary = f".{name[:200]}.{os.getpid()}.{os.urandom(6).hex()}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(temporary, flags, mode, dir_fd=parent)
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(data)
                    os.fchmod(file.fileno(), mode)
                os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=parent)
                raise

    # Looking --------------------------------------------------------------------------------------------

    def lstat(self, path: str) -> os.stat_result:
        """What is at the path; a link at the end is described itself."""
        with self._parent(path) as (parent, name):
            return os.stat(name, dir_fd=parent, follow_symlinks=False)

    def stat(self, path: str) -> os.stat_result:
        """What is at the path, a link at the end followed within the root."""
        fd = self.open(path, os.O_PATH)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def exists(self, path: str) -> bool:
        """Whether there is anything at the path, be it a link to nothing."""
        try:
            self.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def readlink(self, path: str) -> str:
        """Where the link at the path points to, as it was written."""
        with self._parent(path) as (parent, name):
            return os.readlink(name, dir_fd=parent)

    def listdir(self, path: str = ".") -> list[str]:
        """The names in a directory, sorted."""
        fd = self.open_directory(path)
        try:
            return sorted(os.listdir(fd))
        finally:
            os.close(fd)

    def walk(self, path: str = ".") -> Iterator[tuple[str, os.stat_result]]:
        """Every path below a directory with its `lstat`, parents first, sorted by name.

        Links are not followed.
        """
        prefix = "/".join(_names(path))
        pending = [f"{prefix}/{name}".lstrip("/") for name in reversed(self.listdir(path))]
        while pending:
            inner = pending.pop()
            try:
                status = self.lstat(inner)
                names = self.listdir(inner) if stat.S_ISDIR(status.st_mode) else []
            except FileNotFoundError:
                continue
            yield inner, status
            pending += [f"{inner}/{name}" for name in reversed(names)]

    # Making ---------------------------------------------------------------------------------------------

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """Make one directory with exactly this mode."""
        with self._parent(path) as (parent, name):
            os.mkdir(name, mode, dir_fd=parent)
            self._chmod_at(parent, name, mode)

    def makedirs(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        """Make a directory and what is missing above it; those that are made get mode and owner.

        There already is fine. A link on the way that leads nowhere is FileNotFoundError.
        """
        names = _names(path)
        missing = len(names)
        while missing and not self._is_directory("/".join(names[:missing])):
            missing -= 1
        for end in range(missing + 1, len(names) + 1):
            directory = "/".join(names[:end])
            try:
                self.mkdir(directory, mode)
            except FileExistsError:
                os.close(
                    self.open(directory, _DIRECTORY)
                )  # made meanwhile by another; a link to nothing raises
                continue
            if uid or gid:
                self.chown(directory, uid, gid)

    def symlink(self, target: str, path: str) -> None:
        """Make a symbolic link with this text; the text is never looked at."""
        with self._parent(path) as (parent, name):
            os.symlink(target, name, dir_fd=parent)

    def link(self, existing: str, path: str) -> None:
        """Make a hard link; a link at the end of `existing` is linked itself."""
        with self._parent(existing) as (source, source_name), self._parent(path) as (parent, name):
            os.link(source_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)

    def mknod(self, path: str, mode: int, device: int = 0) -> None:
        """Make a device, named pipe or socket file; `mode` holds the type and the permissions, exactly."""
        with self._parent(path) as (parent, name):
            os.mknod(name, mode, device, dir_fd=parent)
            self._chmod_at(parent, name, stat.S_IMODE(mode))

    def rename(self, source: str, target: str) -> None:
        """Rename within the root, replacing what is there as rename(2) does."""
        with self._parent(source) as (old, old_name), self._parent(target) as (new, new_name):
            os.rename(old_name, new_name, src_dir_fd=old, dst_dir_fd=new)

    # Removing -------------------------------------------------------------------------------------------

    def unlink(self, path: str) -> None:
        """Remove a file or a link itself."""
        with self._parent(path) as (parent, name):
            os.unlink(name, dir_fd=parent)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        with self._parent(path) as (parent, name):
            os.rmdir(name, dir_fd=parent)

    def rmtree(self, path: str, *, keep_top: bool = False) -> None:
        """Remove whatever is at the path, with all below it; nothing there is fine.

        `keep_top` only empties it.
        """
        with contextlib.suppress(FileNotFoundError), self._parent(path) as (parent, name):
            if name == "." or keep_top:
                empty_directory(parent, name)
            else:
                remove_entry(parent, name)

    # Attributes -----------------------------------------------------------------------------------------

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Change the owner; a link at the end is changed itself. -1 leaves one as it is."""
        with self._parent(path) as (parent, name):
            os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)

    def chmod(self, path: str, mode: int) -> None:
        """Change permissions. A link at the end has none: OSError EOPNOTSUPP."""
        with self._parent(path) as (parent, name):
            self._chmod_at(parent, name, mode)

    def utimes(self, path: str, access_ns: int, modify_ns: int) -> None:
        """Set both times, in nanoseconds; a link at the end is changed itself."""
        with self._parent(path) as (parent, name):
            os.utime(name, ns=(access_ns, modify_ns), dir_fd=parent, follow_symlinks=False)

    def set_xattr(self, path: str, name: str, value: bytes) -> None:
        """Set an extended attribute; a link at the end is changed itself."""
        self._through_proc(path, lambda target: os.setxattr(target, name, value, follow_symlinks=False))

    def get_xattrs(self, path: str) -> dict[str, bytes]:
        """All extended attributes; a link at the end is asked itself."""
        found: dict[str, bytes] = {}

        def collect(target: str) -> None:
            for name in os.listxattr(target, follow_symlinks=False):
                with contextlib.suppress(OSError):  # gone meanwhile
                    found[name] = os.getxattr(target, name, follow_symlinks=False)

        self._through_proc(path, collect)
        return found

    def copy_in(self, source: BinaryIO, path: str, mode: int = 0o644, uid: int = 0, gid: int = 0) -> int:
        """Write a new file from a stream; what had the name is replaced, a link itself. Returns the bytes."""
        with contextlib.suppress(FileNotFoundError):
            self.unlink(path)
        fd, total = self.create(path, 0o600), 0
        with os.fdopen(fd, "wb", buffering=0) as file:
            while chunk := source.read(1 << 20):
                total += len(chunk)
                _write_all(fd, chunk)
            os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), mode)
        return total

    # The way there --------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """The directory that holds the path's last name, opened, and that name.

        `.`, `..` and `/` give ("dir", ".").
        """
        names = _names(path)
        if not names or names[-1] == "..":
            above, name = path, "."
        else:
            above, name = "/".join(names[:-1]), names[-1]
        if not _names(above):
            yield self._root, name
            return
        fd = self.open(above, _DIRECTORY)
        try:
            yield fd, name
        finally:
            os.close(fd)

    def _is_directory(self, path: str) -> bool:
        try:
            os.close(self.open(path, _DIRECTORY))
        except FileNotFoundError:
            return False
        return True

    def _openat2(self, path: str, flags: int, mode: int) -> int:
        resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
        for _ in range(_MAX_TRIES):
            try:
                return self._kernel.openat2(self._root, path or ".", flags, mode, resolve)
            except BlockingIOError:
                continue
        raise OSError(errno.EAGAIN, "directories keep being renamed", path)

    def _chmod_at(self, parent: int, name: str, mode: int) -> None:
        """chmod(2) that does not follow: the file is pinned by O_PATH first, and /proc names just that."""
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            if stat.S_ISLNK(os.fstat(fd).st_mode):
                raise OSError(errno.EOPNOTSUPP, "a symbolic link has no permissions", name)
            os.chmod(f"/proc/self/fd/{fd}", mode)
        finally:
            os.close(fd)

    def _through_proc(self, path: str, action: Callable[[str], None]) -> None:
        """Act on `directory/name` where the directory is a descriptor: the xattr calls know no `dir_fd`."""
        with self._parent(path) as (parent, name):
            action(f"/proc/self/fd/{parent}/{name}")


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _has_openat2(kernel: Kernel, root: int) -> bool:
    try:
        os.close(kernel.openat2(root, ".", os.O_PATH, 0, RESOLVE_IN_ROOT))
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM):  # an old kernel; a filter that does not know it
            return False
        raise
    return True


def _write_all(fd: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(fd, view) :]
