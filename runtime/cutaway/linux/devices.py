"""/dev of a container: a handful of harmless device nodes and a terminal of its own.

A device node is a name for a driver, given by type and two numbers. Inside a container only those exist that
give nothing away: null, zero, full, random, urandom and the controlling terminal. A node alone gives no
access: the devices cgroup decides again at open, so a container that makes itself a node for the host's disk
cannot open it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import NamedTuple

from cutaway.linux.constants import MS_BIND
from cutaway.linux.step import Context, Step

_NODES = (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9))
_LINKS = (
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("/proc/kcore", "core"),
    ("pts/ptmx", "ptmx"),
)


@dataclass(frozen=True, slots=True)
class MakeDevices(Step):
    """The nodes and links that every program expects, in a /dev that is ours."""

    target: str = "/dev"

    def describe(self) -> str:
        return f"make null, zero, full, random, urandom and tty in {self.target}"

    def execute(self, context: Context) -> None:
        kernel = context.kernel
        kernel.umask(0)  # else each node would need a chmod
        for name, minor in _NODES:
            kernel.mknod(f"{self.target}/{name}", stat.S_IFCHR | 0o666, 1, minor)
        kernel.mknod(f"{self.target}/tty", stat.S_IFCHR | 0o666, 5, 0)
        for target, name in _LINKS:
            kernel.symlink(target, f"{self.target}/{name}")
        kernel.umask(0o022)


class Node(NamedTuple):
    """A device node. `kind` is "c" or "b", `mode` its permission bits."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class MakeNodes(Step):
    """More nodes, for `--device` and `--privileged`. The devices cgroup must allow them too."""

    nodes: tuple[Node, ...]

    def describe(self) -> str:
        names = ", ".join(Node(*node).path for node in self.nodes[:8])
        more = f" and {len(self.nodes) - 8} more" if len(self.nodes) > 8 else ""
        return f"make the devices {names}{more}"

    def execute(self, context: Context) -> None:
        kernel = context.kernel
        kernel.umask(0)
        for path, kind, major, minor, mode, uid, gid in self.nodes:
            kernel.makedirs(path.rpartition("/")[0] or "/", 0o755)
            kernel.mknod(path, (stat.S_IFBLK if kind == "b" else stat.S_IFCHR) | mode, major, minor)
            if uid or gid:
                kernel.chown(path, uid, gid)
        kernel.umask(0o022)


@dataclass(frozen=True, slots=True)
class OpenConsole(Step):
    """Open a terminal in the container's own devpts and show it as /dev/console. After `MountDevpts`.

    Leaves the two ends in `context.fds`: "console master", which the keeper wants, and "console", for 0, 1
    and 2.
    """

    def describe(self) -> str:
        return "open a terminal of the container's own as /dev/console"

    def execute(self, context: Context) -> None:
        kernel = context.kernel
        master = kernel.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
        slave = kernel.unlock_terminal(master)
        context.fds["console master"] = master
        context.fds["console"] = kernel.open(slave, os.O_RDWR | os.O_NOCTTY)
        kernel.close(kernel.open("/dev/console", os.O_CREAT | os.O_WRONLY, 0o600))
        kernel.mount(slave, "/dev/console", None, MS_BIND)
