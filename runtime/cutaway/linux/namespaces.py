"""Namespaces: what makes a process see a machine of its own.

A namespace is a private copy of one kind of global thing: the mount table, the process numbers, the host
name, the message queues, the network, the user ids, the cgroup root. A process gets new ones at its birth
(flags of `clone`), leaves for new ones while it runs (`unshare`), or joins those of another process
(`setns`). There is no object called "container" in the kernel: it is a process tree that shares these.

The cgroup namespace is the odd one. Its root is wherever the process stands when it is made, so a container
first joins its cgroup and only then unshares. The pid namespace is odd too: it takes effect for children
only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from cutaway.linux import constants
from cutaway.linux.step import Context, Step

# The names of /proc/PID/ns with their flags; user first, for its rights are needed to join the others.
FLAGS = {
    "user": constants.CLONE_NEWUSER,
    "mnt": constants.CLONE_NEWNS,
    "uts": constants.CLONE_NEWUTS,
    "ipc": constants.CLONE_NEWIPC,
    "pid": constants.CLONE_NEWPID,
    "net": constants.CLONE_NEWNET,
    "cgroup": constants.CLONE_NEWCGROUP,
}


def clone_flags(kinds: tuple[str, ...]) -> int:
    """The flags of clone(2) for namespaces by their names in `FLAGS`. KeyError for another name."""
    flags = 0
    for kind in kinds:
        flags |= FLAGS[kind]
    return flags


@dataclass(frozen=True, slots=True)
class UnshareCgroupNamespace(Step):
    """Make the cgroup that was just joined look like the root of all cgroups, cgroup_namespaces(7)."""

    def describe(self) -> str:
        return "hide all cgroups above its own in a new cgroup namespace"

    def execute(self, context: Context) -> None:
        context.kernel.unshare(constants.CLONE_NEWCGROUP)


@dataclass(frozen=True, slots=True)
class JoinNamespaces(Step):
    """Enter namespaces of a running process, all in one setns(2) on its pidfd.

    `pid` counts in the pid namespace of the process that runs the step. "pid" among them takes effect
    for the children that are made afterwards. Joining "mnt" moves root and current directory to the root of
    that namespace.
    """

    pid: int
    namespaces: tuple[str, ...]

    def describe(self) -> str:
        return f"join the namespaces {', '.join(self.namespaces)} of process {self.pid}"

    def execute(self, context: Context) -> None:
        pidfd = context.kernel.pidfd_open(self.pid)
        try:
            context.kernel.setns(pidfd, clone_flags(self.namespaces))
        finally:
            context.kernel.close(pidfd)


@dataclass(frozen=True, slots=True)
class JoinNamespaceFile(Step):
    """Join the namespace that a file stands for, e.g. `/proc/1/ns/net`; `kind` is checked by the kernel."""

    path: str
    kind: str

    def describe(self) -> str:
        return f"join the {self.kind} namespace {self.path}"

    def execute(self, context: Context) -> None:
        fd = context.kernel.open(self.path, os.O_RDONLY)
        try:
            context.kernel.setns(fd, FLAGS[self.kind])
        finally:
            context.kernel.close(fd)


@dataclass(frozen=True, slots=True)
class WriteIdMap(Step):
    """Tell the kernel which uids and gids outside stand behind those inside, user_namespaces(7).

    Run beside the child, which waits: `context.pid` is the child. Each range is (inside, outside, count).
    Without CAP_SETGID outside, `deny_setgroups` must come first, or the kernel refuses the gid map.
    """

    uids: tuple[tuple[int, int, int], ...]
    gids: tuple[tuple[int, int, int], ...]
    deny_setgroups: bool = False

    def describe(self) -> str:
        return f"map user ids {_ranges(self.uids)} and group ids {_ranges(self.gids)}"

    def execute(self, context: Context) -> None:
        process = f"/proc/{context.pid}"
        if self.deny_setgroups:
            context.kernel.write_file(f"{process}/setgroups", "deny")
        context.kernel.write_file(f"{process}/uid_map", _lines(self.uids))
        context.kernel.write_file(f"{process}/gid_map", _lines(self.gids))


@dataclass(frozen=True, slots=True)
class SetHostname(Step):
    """Name the machine, in this UTS namespace only."""

    name: str

    def describe(self) -> str:
        return f"set the host name to {self.name}"

    def execute(self, context: Context) -> None:
        context.kernel.sethostname(self.name)


@dataclass(frozen=True, slots=True)
class SetDomainname(Step):
    """Set the NIS domain name of this UTS namespace."""

    name: str

    def describe(self) -> str:
        return f"set the domain name to {self.name}"

    def execute(self, context: Context) -> None:
        context.kernel.setdomainname(self.name)


@dataclass(frozen=True, slots=True)
class WriteSysctl(Step):
    """Set a kernel setting that each network or IPC namespace has for itself, sysctl(8).

    `name` as `net.ipv4.ip_forward`, or with slashes where a part has dots in it. After /proc is mounted.
    """

    name: str
    value: str

    def describe(self) -> str:
        return f"set {self.name} to {self.value} in its namespace"

    def execute(self, context: Context) -> None:
        path = self.name if "/" in self.name else self.name.replace(".", "/")
        context.kernel.write_file(f"/proc/sys/{path}", self.value)


def _lines(ranges: tuple[tuple[int, int, int], ...]) -> str:
    return "".join(f"{inside} {outside} {count}\n" for inside, outside, count in ranges)


def _ranges(ranges: tuple[tuple[int, int, int], ...]) -> str:
    return ", ".join(
        f"{inside}-{inside + count - 1} to {outside}-{outside + count - 1}"
        for inside, outside, count in ranges
    )
