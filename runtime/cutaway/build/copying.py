"""COPY and ADD: put files into a mounted image by the rules of the Dockerfile reference.

    source is a folder         its contents go into the destination, which is made
    destination ends in /,     the file goes into it under its own name
      or is a folder
    otherwise                  the destination is the file's new name

Every path of the destination is looked up inside the image (`RootFiles`), so `/var/run/x` lands in `/run/x`
where `/var/run` is a link, and a link to `../../..` lands in the image's root. Folders that exist keep their
mode and owner; what is new belongs to root or to `--chown`. Files keep their mode and their time.
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
import stat
import threading
from pathlib import Path

from cutaway.build.failures import BuildFailedError
from cutaway.build.trees import Tree
from cutaway.errors import CutawayError
from cutaway.layer import members, streams
from cutaway.layer.apply import apply
from cutaway.linux.files import RootFiles

LONGEST_CHAIN = 40  # links followed in one path, as in the kernel: path_resolution(7)
_BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class CopyJob:
    """What to copy, with everything expanded. `owner` None keeps the source's, as COPY --from does."""

    paths: tuple[str, ...]
    destination: str
    owner: tuple[int, int] | None = (0, 0)
    mode: int | None = None
    unpack: bool = False


class Copier:
    """Copies from a tree into an image's file system. Blocking; `stop` ends it between two files."""

    def __init__(self, tree: Tree, root: RootFiles, stop: threading.Event) -> None:
        self.tree = tree
        self.root = root
        self.stop = stop

    def run(self, job: CopyJob) -> None:
        """Do it. Raises BuildFailedError, OSError from the disk, InterruptedError when stopped."""
        into = job.destination.endswith("/") or self._is_folder(job.destination)
        destination = job.destination.rstrip("/")
        for path in job.paths:
            status = self.tree.status(path)
            if stat.S_ISDIR(status.st_mode):
                self._folder(path, destination, job)
            elif job.unpack and self._unpack(path, job):
                continue
            else:
                goal = f"{destination}/{posixpath.basename(path)}" if into else destination
                self._file(path, goal, status, job, follow=True)

    def _folder(self, path: str, destination: str, job: CopyJob) -> None:
        os.close(open_folder(self.root, destination, job.owner or (0, 0)))
        entries = self.tree.walk(path)
        times: list[tuple[str, os.stat_result]] = []
        for child, status in entries:
            below = child[len(path) :].lstrip("/")
            goal = f"{destination}/{below}"
            if stat.S_ISDIR(status.st_mode):
                if self._make_folder(goal, status, job):
                    times.append((goal, status))
            else:
                self._file(child, goal, status, job, follow=False)
        for goal, status in reversed(times):  # a folder's time changes with each child
            descriptor = self.root.open(goal, os.O_RDONLY | os.O_DIRECTORY)
            os.utime(descriptor, ns=(status.st_mtime_ns, status.st_mtime_ns))
            os.close(descriptor)

    def _make_folder(self, goal: str, status: os.stat_result, job: CopyJob) -> bool:
        """Make a folder with the source's mode; False when there was one, which stays as it is."""
        if self._is_folder(goal):
            return False
        parent, name = self._parent(goal, job)
        try:
            _clear(parent, name)
            os.mkdir(name, 0o700, dir_fd=parent)
            descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        finally:
            os.close(parent)
        try:
            _dress(descriptor, status, job)
        finally:
            os.close(descriptor)
        return True

    def _file(self, path: str, goal: str, status: os.stat_result, job: CopyJob, *, follow: bool) -> None:
        """Make one file, link or pipe. `follow`: the destination was named, so a link there is followed."""
        if self.stop.is_set():
            raise InterruptedError
        if self._is_folder(goal) and not self._is_link(goal):
            hint = "end the destination in /"
            raise BuildFailedError(f"cannot copy the file {path} over the folder {goal}", hint)
        goal = self._follow(goal) if follow else goal
        parent, name = self._parent(goal, job)
        try:
            _clear(parent, name)
            if stat.S_ISREG(status.st_mode):
                self._regular(path, parent, name, status, job)
            elif stat.S_ISLNK(status.st_mode):
                os.symlink(self.tree.root.readlink(path), name, dir_fd=parent)
            elif not stat.S_ISSOCK(status.st_mode):
                os.mknod(name, status.st_mode, status.st_rdev, dir_fd=parent)
            if not stat.S_ISREG(status.st_mode) and not stat.S_ISSOCK(status.st_mode):
                os.chown(name, *_owner(status, job), dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(parent)

    def _regular(self, path: str, parent: int, name: str, status: os.stat_result, job: CopyJob) -> None:
        source = self.tree.root.open(path, os.O_RDONLY)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            copy = os.open(name, flags, 0o600, dir_fd=parent)
            try:
                while os.sendfile(copy, source, None, _BLOCK):  # None: from where it stands
                    pass
                _dress(copy, status, job)
                for attribute in os.listxattr(source):
                    if attribute == "security.capability" or attribute.startswith("user."):
                        os.setxattr(copy, attribute, os.getxattr(source, attribute))
                os.utime(copy, ns=(status.st_mtime_ns, status.st_mtime_ns))
            finally:
                os.close(copy)
        finally:
            os.close(source)

    def _unpack(self, path: str, job: CopyJob) -> bool:
        """ADD of a tar, plain or compressed, unpacks it; False for any other file. Its first bytes tell."""
        with os.fdopen(self.tree.root.open(path, os.O_RDONLY), "rb") as file:
            try:
                with members.damage_told(), members.reading(streams.decompressed(file)[0]) as tar:
                    is_tar = tar.next() is not None
            except CutawayError:
                is_tar = False
            if not is_tar:
                return False
            file.seek(0)
            descriptor = open_folder(self.root, job.destination, (0, 0))
            try:
                with members.damage_told():
                    apply(streams.decompressed(file)[0], Path(f"/proc/self/fd/{descriptor}").resolve())
            finally:
                os.close(descriptor)
        return True

    def _parent(self, goal: str, job: CopyJob) -> tuple[int, str]:
        folder, _, name = goal.rstrip("/").rpartition("/")
        return open_folder(self.root, folder, job.owner or (0, 0)), name

    def _follow(self, goal: str) -> str:
        for _ in range(LONGEST_CHAIN):
            target = self._target(goal)
            if target is None:
                return goal
            goal = posixpath.join(posixpath.dirname(goal), target)
        raise BuildFailedError(f"too many links on the way to {goal}")

    def _target(self, goal: str) -> str | None:
        try:
            return self.root.readlink(goal.rstrip("/"))
        except OSError:
            return None

    def _is_link(self, goal: str) -> bool:
        return self._target(goal) is not None

    def _is_folder(self, path: str) -> bool:
        try:
            os.close(self.root.open(path, os.O_PATH | os.O_DIRECTORY))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True


def open_folder(root: RootFiles, path: str, owner: tuple[int, int], *, depth: int = 0) -> int:
    """A descriptor of the folder; it is made with its parents (0755) where it is missing. Links are followed.

    Raises BuildFailedError when something else is in the way.
    """
    try:
        return root.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        folder, _, name = path.rstrip("/").rpartition("/")
    except NotADirectoryError as error:
        raise BuildFailedError(f"cannot copy to non-directory: {path}", "a file is in the way") from error
    parent = open_folder(root, folder, owner, depth=depth)
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
        os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
    except FileExistsError as error:  # a link whose goal is missing: the goal is what is made
        if depth == LONGEST_CHAIN or name in ("", ".", ".."):
            raise BuildFailedError(f"too many links on the way to {path}") from error
        goal = posixpath.join(folder, os.readlink(name, dir_fd=parent))
        return open_folder(root, goal, owner, depth=depth + 1)
    finally:
        os.close(parent)
    return root.open(path, os.O_RDONLY | os.O_DIRECTORY)


def _owner(status: os.stat_result, job: CopyJob) -> tuple[int, int]:
    return job.owner or (status.st_uid, status.st_gid)


def _dress(descriptor: int, status: os.stat_result, job: CopyJob) -> None:
    os.fchown(descriptor, *_owner(status, job))
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode) if job.mode is None else job.mode)


def _clear(parent: int, name: str) -> None:
    """Remove the file or link of this name; a folder is left, for the caller to trip over."""
    try:
        os.unlink(name, dir_fd=parent)
    except (FileNotFoundError, IsADirectoryError):
        pass
