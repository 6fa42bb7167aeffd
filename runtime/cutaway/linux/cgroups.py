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
import time
from dataclasses import dataclass

from cutaway.linux.cgroup_control import Cgroup
from cutaway.linux.device_filter import allow_devices
from cutaway.linux.hierarchies import DEFAULT_CONTROLLERS, Hierarchy, hierarchies
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
    controller.
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
            settings = _settings_v1(self, tree) if tree.version == 1 else _settings_v2(self)
            for file, value in settings:
                _set(context, f"{directory}/{file}", value)
            if tree.version == 2 and self.devices:
                allow_devices(context.kernel, directory, self.devices)

    def _trees(self) -> list[Hierarchy]:
        wanted = set(DEFAULT_CONTROLLERS) | ({"cpuset"} if self.cpuset_cpus or self.cpuset_mems else set())
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


def _set(context: Context, path: str, value: str) -> None:
    """Set one limit.

    A file that this kernel does not have is passed over for swap, which need not be counted.
    """
    try:
        context.kernel.write_file(path, value)
    except FileNotFoundError:
        if "memsw" not in path and "swap" not in path and "soft_limit" not in path:
            raise


def _settings_v1(limits: MakeCgroup, tree: Hierarchy) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str, int | str]] = [
        ("memory", "memory.limit_in_bytes", limits.memory),
        ("memory", "memory.memsw.limit_in_bytes", limits.memory_swap),
        ("memory", "memory.soft_limit_in_bytes", limits.memory_reservation),
        ("cpu", "cpu.shares", limits.cpu_shares),
        ("cpu", "cpu.cfs_period_us", limits.cpu_period),
        ("cpu", "cpu.cfs_quota_us", limits.cpu_quota),
        ("pids", "pids.max", "max" if limits.pids < 0 else limits.pids),
    ]
    if "cpuset" in tree.controllers and (limits.cpuset_cpus or limits.cpuset_mems):
        for file, value in (("cpuset.cpus", limits.cpuset_cpus), ("cpuset.mems", limits.cpuset_mems)):
            pairs.append(("cpuset", file, value or _parent_value(tree, limits.parent, file)))
    settings = [
        (file, str(value)) for controller, file, value in pairs if value and controller in tree.controllers
    ]
    if limits.devices and "devices" in tree.controllers:
        settings.append(("devices.deny", "a"))
        settings += [("devices.allow", device) for device in limits.devices]
    return settings


def _parent_value(tree: Hierarchy, parent: str, file: str) -> str:
    try:
        with open(f"{tree.base}/{parent.strip('/')}/{file}", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def _settings_v2(limits: MakeCgroup) -> list[tuple[str, str]]:
    settings = []
    if limits.memory:
        settings.append(("memory.max", _or_max(limits.memory)))
    if limits.memory_swap:  # version 2 counts swap by itself
        swap = limits.memory_swap if limits.memory_swap < 0 else limits.memory_swap - limits.memory
        settings.append(("memory.swap.max", _or_max(swap)))
    if limits.memory_reservation:
        settings.append(("memory.low", str(limits.memory_reservation)))
    if limits.cpu_quota or limits.cpu_period:
        quota = _or_max(limits.cpu_quota or -1)
        settings.append(("cpu.max", f"{quota} {limits.cpu_period or 100000}"))
    if limits.cpu_shares:  # 2 to 262144 become 1 to 10000, as crun and runc do
        settings.append(("cpu.weight", str(1 + (limits.cpu_shares - 2) * 9999 // 262142)))
    if limits.pids:
        settings.append(("pids.max", _or_max(limits.pids)))
    for file, value in (("cpuset.cpus", limits.cpuset_cpus), ("cpuset.mems", limits.cpuset_mems)):
        if value:
            settings.append((file, value))
    return settings


def _or_max(value: int) -> str:
    return "max" if value < 0 else str(value)
