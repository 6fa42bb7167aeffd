"""Control groups: how much a container may use, and who belongs to it.

A cgroup is a directory in a file system of the kernel's. Making the directory makes the group, writing a
number into one of its files sets a limit, writing a process's number into another moves the process in, and
its children are born there. When the last process has gone the directory can be removed.

Joining costs more than it seems. A whole process is moved through `cgroup.procs`, under a lock that all forks
of the machine take; after a pause of 50 ms the kernel first waits for every processor to notice, 5 to 15 ms.
A child that is one thread can enter a version 1 tree through `tasks` instead, which needs no such lock: 0.1
ms.

Version 1 decides about device nodes in its `devices` controller. Version 2 has no file for that: see
`device_filter`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from dataclasses import dataclass

from cutaway.linux.cgroup_control import Cgroup
from cutaway.linux.device_filter import allow_devices
from cutaway.linux.hierarchies import DEFAULT_CONTROLLERS, Hierarchy, hierarchies
from cutaway.linux.limits import set_limit, settings
from cutaway.linux.step import Context, Step

__all__ = ["DEFAULT_DEVICES", "Cgroup", "JoinCgroup", "MakeCgroup", "RemoveCgroup", "cgroup_base"]

# What Docker's containers may open: any node may be made, these may be used (moby, oci/devices_linux.go).
DEFAULT_DEVICES = (
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
)


@dataclass(frozen=True, slots=True)
class MakeCgroup(Step):
    """Make `parent/name` in every tree and set its limits. 0 and "" leave a limit as it is, -1 lifts it.

    Bytes, microseconds, counts. `memory_swap` is memory and swap together, as Docker has it. `devices` are
    lines of the version 1 device list; empty allows all. `cpuset_cpus` ("0-2,5") brings in the cpuset
    controller; `io_weights`, (device "8:0", weight), and `io_rates`, ("rbps", device, rate), that of disks.
    """

    parent: str
    name: str
    memory: int = 0
    memory_swap: int = 0
    memory_reservation: int = 0
    cpu_quota: int = 0
    cpu_period: int = 0
    cpu_shares: int = 0
    pids: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    memory_swappiness: int = -1
    oom_kill_disable: bool = False
    io_weight: int = 0
    io_weights: tuple[tuple[str, int], ...] = ()
    io_rates: tuple[tuple[str, str, int], ...] = ()
    devices: tuple[str, ...] = DEFAULT_DEVICES

    def describe(self) -> str:
        limits = [f"memory {self.memory} bytes"] if self.memory > 0 else []
        limits += [f"{self.cpu_quota / (self.cpu_period or 100000):g} cpus"] if self.cpu_quota > 0 else []
        limits += [f"{self.pids} processes"] if self.pids > 0 else []
        return f"make the control group {self.parent}/{self.name}: {', '.join(limits) or 'no limits'}"

    def execute(self, context: Context) -> None:
        for tree in self._trees():
            directory = f"{tree.base}/{self.parent.strip('/')}/{self.name}"
            try:
                context.kernel.mkdir(directory, 0o755)
            except FileNotFoundError:
                _make_parents(context, tree, self.parent)
                context.kernel.mkdir(directory, 0o755)
            for file, value in settings(self, tree):
                set_limit(context, f"{directory}/{file}", value)
            if tree.version == 1 and self.devices and "devices" in tree.controllers:
                context.kernel.write_file(f"{directory}/devices.deny", "a")
                for device in self.devices:
                    context.kernel.write_file(f"{directory}/devices.allow", device)
            if tree.version == 2 and self.devices:
                allow_devices(context.kernel, directory, self.devices)

    def change(self, context: Context) -> None:
        """Set the limits of the group that is there already. What is not asked for stays as it is.

        A limit may only be set after another one (swap above memory, say), so what is refused is asked for
        a second time. Raises OSError for what is refused again.
        """
        for tree in self._trees():
            directory = f"{tree.base}/{self.parent.strip('/')}/{self.name}"
            is_new = not os.path.isdir(directory)  # a tree in which it had no limit so far
            if is_new:
                with contextlib.suppress(FileExistsError):
                    _make_parents(context, tree, self.parent)
                context.kernel.mkdir(directory, 0o755)
            refused = []
            for file, value in settings(self, tree):
                try:
                    set_limit(context, f"{directory}/{file}", value)
                except OSError:
                    refused.append((file, value))
            for file, value in refused:
                set_limit(context, f"{directory}/{file}", value)
            for pid in Cgroup(self.parent, self.name).processes() if is_new else ():
                with contextlib.suppress(ProcessLookupError):
                    context.kernel.write_file(f"{directory}/cgroup.procs", str(pid))

    def _trees(self) -> list[Hierarchy]:
        wanted = set(DEFAULT_CONTROLLERS)
        wanted |= {"cpuset"} if self.cpuset_cpus or self.cpuset_mems else set()
        wanted |= {"blkio"} if self.io_weight or self.io_weights or self.io_rates else set()
        return [tree for tree in hierarchies() if tree.version == 2 or wanted & set(tree.controllers)]


@dataclass(frozen=True, slots=True)
class JoinCgroup(Step):
    """Move the process that runs this into `parent/name`, in each tree in which `MakeCgroup` made it.

    The process must have one thread. OSError ENOENT when there is no such group at all.
    """

    parent: str
    name: str

    def describe(self) -> str:
        return f"join the control group {self.parent}/{self.name}"

    def execute(self, context: Context) -> None:
        joined = 0
        for tree in hierarchies():
            file = "tasks" if tree.version == 1 else "cgroup.procs"
            try:
                context.kernel.write_file(f"{tree.base}/{self.parent.strip('/')}/{self.name}/{file}", "0")
                joined += 1
            except FileNotFoundError:
                continue
        if not joined:
            raise OSError(errno.ENOENT, "no such control group", f"{self.parent}/{self.name}")


@dataclass(frozen=True, slots=True)
class RemoveCgroup(Step):
    """Remove `parent/name` from every tree. Processes that are still in it are killed; none there is fine.

    Waits at most `patience` seconds for dying processes to leave, then OSError EBUSY.
    """

    parent: str
    name: str
    patience: float = 2.0

    def describe(self) -> str:
        return f"remove the control group {self.parent}/{self.name}"

    def execute(self, context: Context) -> None:
        deadline = time.monotonic() + self.patience
        for tree in hierarchies():
            directory = f"{tree.base}/{self.parent.strip('/')}/{self.name}"
            pause = 0.0005
            while not _removed(context, directory):
                Cgroup(self.parent, self.name).kill_all()
                if time.monotonic() > deadline:
                    raise OSError(errno.EBUSY, "processes are still in it", directory)
                time.sleep(pause)
                pause = min(pause * 2, 0.05)


def cgroup_base(parent: str) -> tuple[str, ...]:
    """The directories of `parent` in every tree, for finding and removing what an engine left behind."""
    return tuple(f"{tree.base}/{parent.strip('/')}" for tree in hierarchies())


def _removed(context: Context, directory: str) -> bool:
    try:
        context.kernel.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        if error.errno == errno.ENOTEMPTY:  # groups that the container made for itself
            Cgroup.remove_below(directory)
            return False
        raise
    return True


def _make_parents(context: Context, tree: Hierarchy, parent: str) -> None:
    """Make the groups above. Version 2 hands controllers down level by level; a cpuset starts out empty."""
    directory = tree.base
    for part in parent.strip("/").split("/"):
        _hand_down(context, tree, directory)
        above, directory = directory, f"{directory}/{part}"
        context.kernel.mkdir(directory, 0o755)
        if tree.version == 1 and "cpuset" in tree.controllers:
            context.kernel.write_file(
                f"{directory}/cpuset.cpus", context.kernel.read_file(f"{above}/cpuset.cpus")
            )
            context.kernel.write_file(
                f"{directory}/cpuset.mems", context.kernel.read_file(f"{above}/cpuset.mems")
            )
    _hand_down(context, tree, directory)


def _hand_down(context: Context, tree: Hierarchy, directory: str) -> None:
    if tree.version == 1:
        return
    for controller in tree.controllers:
        with contextlib.suppress(OSError):  # one that this machine lacks must not cost the others
            context.kernel.write_file(f"{directory}/cgroup.subtree_control", f"+{controller}")
