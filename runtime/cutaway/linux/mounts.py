"""The container's file tree, one mount after another.

The order is what keeps the host safe. First everything is opened that comes from the host: the sources of
bind mounts become detached copies (`open_tree`), held only by a descriptor. Then the image's layers are
stacked with overlayfs, and `pivot_root` makes that stack the root. From here on a path can only lead into the
container: a symbolic link of the image, `/proc -> /../../etc` say, is resolved within the new root. Only then
are proc, sys, dev and the binds put in their places.

`pivot_root(".", ".")` leaves the old root mounted on top of the new one, where `/..` still reaches it. So the
old root is detached in the same step. Its descriptor stays open for steps that need one more file of the
host, until `LeaveOldRoot`.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from cutaway.linux.constants import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    CLONE_NEWNS,
    MNT_DETACH,
    MOUNT_ATTR_RDONLY,
    MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_SYMLINKS,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    MS_SLAVE,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
)
from cutaway.linux.options import parse_options
from cutaway.linux.step import Context, Step

OLD_ROOT = "old root"
_HARDENED = MS_NOSUID | MS_NODEV | MS_NOEXEC
_SMALL = MS_NOSUID | MS_NOEXEC


@dataclass(frozen=True, slots=True)
class PrivateMounts(Step):
    """Stop this mount namespace from telling the host's about its mounts, and the reverse."""

    def describe(self) -> str:
        return "keep mounts and unmounts from passing between host and container"

    def execute(self, context: Context) -> None:
        context.kernel.mount(None, "/", None, MS_REC | MS_PRIVATE)


@dataclass(frozen=True, slots=True)
class OpenTree(Step):
    """Take a detached copy of a file or directory of the host.

    `AttachTree` of the same name puts it in its place.
    """

    source: str
    name: str
    recursive: bool = True

    def describe(self) -> str:
        return f"take {self.source} of the host by a descriptor"

    def execute(self, context: Context) -> None:
        flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if self.recursive else 0)
        context.fds[self.name] = context.kernel.open_tree(AT_FDCWD, self.source, flags)


@dataclass(frozen=True, slots=True)
class TakeTree(Step):
    """Take a detached copy of a mount in another process's mount namespace; see `OpenTree`."""

    pid: int
    source: str
    name: str

    def describe(self) -> str:
        return f"take {self.source} of process {self.pid} by a descriptor"

    def execute(self, context: Context) -> None:
        kernel = context.kernel
        home = kernel.open("/proc/self/ns/mnt", os.O_RDONLY)
        there = kernel.open(f"/proc/{self.pid}/ns/mnt", os.O_RDONLY)
        try:
            kernel.setns(there, CLONE_NEWNS)
            flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
            context.fds[self.name] = kernel.open_tree(AT_FDCWD, self.source, flags)
            kernel.setns(home, CLONE_NEWNS)
        finally:
            kernel.close(there)
            kernel.close(home)


@dataclass(frozen=True, slots=True)
class AttachTree(Step):
    """Put what `OpenTree` took at `target` in the container, which is made if missing.

    A directory, or a file.

    Read-only holds for all mounts below it too. `propagation` says whether mounts made later on one side show
    on the other: with `private` they do not, with `slave` the host's do, with `shared` both; an `r` before it
    means the mounts below, too. mount_namespaces(7).
    """

    name: str
    target: str
    read_only: bool = False
    propagation: str = "rprivate"

    def describe(self) -> str:
        return f"bind {self.name} at {self.target}{' read-only' if self.read_only else ''}"

    def execute(self, context: Context) -> None:
        kernel, tree = context.kernel, context.fds.pop(self.name)
        try:
            attributes = MOUNT_ATTR_RDONLY if self.read_only else 0
            kernel.mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, attributes, 0, self._propagation())
            flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS
            try:
                kernel.move_mount(tree, "", AT_FDCWD, self.target, flags)
            except FileNotFoundError:
                self._make_target(context, directory=kernel.is_directory(tree))
                kernel.move_mount(tree, "", AT_FDCWD, self.target, flags)
        finally:
            kernel.close(tree)

    def _propagation(self) -> int:
        """For mount_setattr; 0 leaves the copy what it is: a peer of a shared original."""
        return {"slave": MS_SLAVE, "shared": 0}.get(self.propagation.removeprefix("r"), MS_PRIVATE)

    def _make_target(self, context: Context, *, directory: bool) -> None:
        if directory:
            context.kernel.makedirs(self.target, 0o755)
            return
        target = context.kernel.resolve(self.target)  # /etc/resolv.conf is often a link to nothing
        context.kernel.makedirs(target.rpartition("/")[0] or "/", 0o755)
        context.kernel.close(context.kernel.open(target, os.O_CREAT | os.O_WRONLY, 0o755))


@dataclass(frozen=True, slots=True)
class EnterRoot(Step):
    """Make the mount at `target` the root, pivot_root(2).

    The old root stays reachable by one descriptor only.
    """

    target: str

    def describe(self) -> str:
        return f"make {self.target} the root directory and detach the host's"

    def execute(self, context: Context) -> None:
        kernel = context.kernel
        context.fds[OLD_ROOT] = kernel.open("/", os.O_PATH | os.O_DIRECTORY)
        kernel.chdir(self.target)
        kernel.pivot_root(".", ".")
        # "." is the new root with the old one stacked upon it; umount takes the topmost, pivot_root(2)
        kernel.umount2(".", MNT_DETACH)
        kernel.chdir("/")


@dataclass(frozen=True, slots=True)
class LeaveOldRoot(Step):
    """Give up the last way to the host's files."""

    def describe(self) -> str:
        return "close the last descriptor of the host's root"

    def execute(self, context: Context) -> None:
        context.kernel.close(context.fds.pop(OLD_ROOT))


@dataclass(frozen=True, slots=True)
class BindRoot(Step):
    """Make a plain directory a mount of its own, for a root file system without layers."""

    source: str
    target: str

    def describe(self) -> str:
        return f"bind {self.source} at {self.target}"

    def execute(self, context: Context) -> None:
        context.kernel.mount(self.source, self.target, None, MS_BIND | MS_REC)


@dataclass(frozen=True, slots=True)
class MountProc(Step):
    """The pid namespace's view of processes. /proc as a symbolic link is refused: masks would miss it."""

    target: str = "/proc"

    def describe(self) -> str:
        return f"mount proc at {self.target}"

    def execute(self, context: Context) -> None:
        _plain_directory(context, self.target)
        context.kernel.mount("proc", self.target, "proc", _HARDENED)


@dataclass(frozen=True, slots=True)
class MountSys(Step):
    """The kernel's devices and settings, read-only unless the container is privileged."""

    target: str = "/sys"
    read_only: bool = True

    def describe(self) -> str:
        return f"mount sysfs at {self.target}{' read-only' if self.read_only else ''}"

    def execute(self, context: Context) -> None:
        _plain_directory(context, self.target)
        context.kernel.mount("sysfs", self.target, "sysfs", _HARDENED | (MS_RDONLY if self.read_only else 0))


@dataclass(frozen=True, slots=True)
class MountTmpfs(Step):
    """A file system in memory. `options` as mount(8) has them: `nosuid,noexec,mode=1777,size=65536k`.

    The target is made if missing.
    """

    target: str
    options: str = "nosuid,nodev,noexec"
    source: str = "tmpfs"

    def describe(self) -> str:
        return f"mount a tmpfs at {self.target} with {self.options}"

    def execute(self, context: Context) -> None:
        flags, data = parse_options(self.options)
        context.kernel.makedirs(self.target, 0o755)
        context.kernel.mount(self.source, self.target, "tmpfs", flags, data)


@dataclass(frozen=True, slots=True)
class MountDevpts(Step):
    """Terminals of the container's own: /dev/pts/0 here is not the host's. Needs /dev."""

    target: str = "/dev/pts"

    def describe(self) -> str:
        return f"mount terminals of its own at {self.target}"

    def execute(self, context: Context) -> None:
        context.kernel.mkdir(self.target, 0o755)
        context.kernel.mount(
            "devpts", self.target, "devpts", _SMALL, "newinstance,ptmxmode=0666,mode=0620,gid=5"
        )


@dataclass(frozen=True, slots=True)
class MountMqueue(Step):
    """The POSIX message queues of this IPC namespace."""

    target: str = "/dev/mqueue"

    def describe(self) -> str:
        return f"mount message queues at {self.target}"

    def execute(self, context: Context) -> None:
        context.kernel.mkdir(self.target, 0o755)
        context.kernel.mount("mqueue", self.target, "mqueue", _HARDENED)


@dataclass(frozen=True, slots=True)
class MountCgroup(Step):
    """The container's own cgroups, read-only, below /sys/fs/cgroup. After `UnshareCgroupNamespace`.

    `hierarchies` names the v1 controllers to show, each as its own mount, e.g. ("cpu,cpuacct", "memory");
    empty means cgroup v2, which is one mount.
    """

    hierarchies: tuple[str, ...] = ()
    target: str = "/sys/fs/cgroup"
    read_only: bool = True

    def describe(self) -> str:
        names = ", ".join(self.hierarchies) or "the unified tree"
        return f"mount its own cgroups ({names}) at {self.target}"

    def execute(self, context: Context) -> None:
        kernel, flags = context.kernel, _HARDENED | (MS_RDONLY if self.read_only else 0)
        if not self.hierarchies:
            kernel.mount("cgroup", self.target, "cgroup2", flags)
            return
        kernel.mount("tmpfs", self.target, "tmpfs", _HARDENED, "mode=755")
        for hierarchy in self.hierarchies:
            directory = f"{self.target}/{hierarchy.removeprefix('name=')}"
            kernel.mkdir(directory, 0o755)
            kernel.mount("cgroup", directory, "cgroup", flags, hierarchy)
            for controller in hierarchy.split(",") if "," in hierarchy else ():
                kernel.symlink(hierarchy, f"{self.target}/{controller}")
        if self.read_only:
            kernel.mount(None, self.target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | _HARDENED)


@dataclass(frozen=True, slots=True)
class MaskPaths(Step):
    """Hide files behind /dev/null and directories behind an empty tmpfs; what is not there is skipped."""

    paths: tuple[str, ...]

    def describe(self) -> str:
        return f"hide {', '.join(self.paths)}"

    def execute(self, context: Context) -> None:
        for path in self.paths:
            try:
                context.kernel.mount("/dev/null", path, None, MS_BIND)
            except FileNotFoundError:
                continue
            except NotADirectoryError:  # /dev/null is no directory, but the path is
                context.kernel.mount("tmpfs", path, "tmpfs", MS_RDONLY)


@dataclass(frozen=True, slots=True)
class ReadonlyPaths(Step):
    """Make paths unwritable by binding each to itself read-only; what is not there is skipped."""

    paths: tuple[str, ...]

    def describe(self) -> str:
        return f"make {', '.join(self.paths)} read-only"

    def execute(self, context: Context) -> None:
        for path in self.paths:
            try:
                context.kernel.mount(path, path, None, MS_BIND | MS_REC)
            except FileNotFoundError:
                continue
            context.kernel.mount_setattr(AT_FDCWD, path, AT_RECURSIVE, MOUNT_ATTR_RDONLY)


@dataclass(frozen=True, slots=True)
class RemountRootReadonly(Step):
    """`--read-only`: the root refuses writes, mounts upon it keep their own mind."""

    def describe(self) -> str:
        return "make the root directory read-only"

    def execute(self, context: Context) -> None:
        context.kernel.mount_setattr(AT_FDCWD, "/", 0, MOUNT_ATTR_RDONLY)


def _plain_directory(context: Context, path: str) -> None:
    context.kernel.mkdir(path, 0o555)
    if context.kernel.is_symlink(path):
        raise OSError(errno.ELOOP, "the image has a symbolic link where a directory must be", path)


# What Docker hides and protects by default (moby, oci/defaults.go).
MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
