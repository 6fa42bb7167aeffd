"""A container's limits as the files of its control group, in both versions.

                        version 1                           version 2
    memory              memory.limit_in_bytes               memory.max
    memory and swap     memory.memsw.limit_in_bytes         memory.swap.max, which counts swap alone
    reservation         memory.soft_limit_in_bytes          memory.low
    processor time      cpu.cfs_quota_us, cfs_period_us     cpu.max, both in one line
    processor share     cpu.shares, 2 to 262144             cpu.weight, 1 to 10000
    processes           pids.max                            pids.max
    disks: share        blkio.weight, blkio.bfq.weight      io.weight
    disks: rate         blkio.throttle.read_bps_device, …   io.max, all four in one line

Sources: kernel Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst; runc for the conversions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutaway.linux.hierarchies import Hierarchy
from cutaway.linux.step import Context

if TYPE_CHECKING:
    from cutaway.linux.cgroups import MakeCgroup

Settings = list[tuple[str, str]]
_V1_RATES = {
    "rbps": "blkio.throttle.read_bps_device",
    "wbps": "blkio.throttle.write_bps_device",
    "riops": "blkio.throttle.read_iops_device",
    "wiops": "blkio.throttle.write_iops_device",
}
# Swap and shares of disks need not be compiled in; `container.resources` tells the user what is discarded.
_OPTIONAL = ("memsw", "swap.max", "soft_limit", "blkio.weight", "blkio.bfq.weight")


def settings(limits: MakeCgroup, tree: Hierarchy) -> Settings:
    """(file, text) to write, in this order, into the group's directory of a tree."""
    return _settings_v1(limits, tree) if tree.version == 1 else _settings_v2(limits)


def set_limit(context: Context, path: str, value: str) -> None:
    """Set one limit. A file that this kernel does not have is passed over where it need not be there."""
    try:
        context.kernel.write_file(path, value)
    except FileNotFoundError:
        if not any(word in path for word in _OPTIONAL):
            raise


def _settings_v1(limits: MakeCgroup, tree: Hierarchy) -> Settings:
    pairs: list[tuple[str, str, int | str]] = [
        ("memory", "memory.limit_in_bytes", limits.memory),
        ("memory", "memory.memsw.limit_in_bytes", limits.memory_swap),
        ("memory", "memory.soft_limit_in_bytes", limits.memory_reservation),
        ("memory", "memory.oom_control", int(limits.oom_kill_disable)),
        ("cpu", "cpu.shares", limits.cpu_shares),
        ("cpu", "cpu.cfs_period_us", limits.cpu_period),
        ("cpu", "cpu.cfs_quota_us", limits.cpu_quota),
        ("pids", "pids.max", "max" if limits.pids < 0 else limits.pids),
        ("blkio", "blkio.bfq.weight", limits.io_weight),
        ("blkio", "blkio.weight", limits.io_weight),
    ]
    pairs += [
        ("blkio", "blkio.bfq.weight_device", f"{device} {weight}") for device, weight in limits.io_weights
    ]
    pairs += [("blkio", _V1_RATES[kind], f"{device} {rate}") for kind, device, rate in limits.io_rates]
    if limits.memory_swappiness >= 0:
        pairs.append(("memory", "memory.swappiness", str(limits.memory_swappiness)))
    if "cpuset" in tree.controllers and (limits.cpuset_cpus or limits.cpuset_mems):
        for file, value in (("cpuset.cpus", limits.cpuset_cpus), ("cpuset.mems", limits.cpuset_mems)):
            pairs.append(("cpuset", file, value or _parent_value(tree, limits.parent, file)))
    return [
        (file, str(value)) for controller, file, value in pairs if value and controller in tree.controllers
    ]


def _parent_value(tree: Hierarchy, parent: str, file: str) -> str:
    try:
        with open(f"{tree.base}/{parent.strip('/')}/{file}", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def _settings_v2(limits: MakeCgroup) -> Settings:
    found: Settings = []
    if limits.memory:
        found.append(("memory.max", _or_max(limits.memory)))
    if limits.memory_swap:  # version 2 counts swap by itself
        swap = limits.memory_swap if limits.memory_swap < 0 else limits.memory_swap - limits.memory
        found.append(("memory.swap.max", _or_max(swap)))
    if limits.memory_reservation:
        found.append(("memory.low", str(limits.memory_reservation)))
    if limits.cpu_quota or limits.cpu_period:
        quota = _or_max(limits.cpu_quota or -1)
        found.append(("cpu.max", f"{quota} {limits.cpu_period or 100000}"))
    if limits.cpu_shares:  # 2 to 262144 become 1 to 10000
        found.append(("cpu.weight", str(1 + (limits.cpu_shares - 2) * 9999 // 262142)))
    if limits.pids:
        found.append(("pids.max", _or_max(limits.pids)))
    for file, value in (("cpuset.cpus", limits.cpuset_cpus), ("cpuset.mems", limits.cpuset_mems)):
        if value:
            found.append((file, value))
    if limits.io_weight:
        found.append(("io.weight", f"default {_io_weight(limits.io_weight)}"))
    found += [("io.weight", f"{device} {_io_weight(weight)}") for device, weight in limits.io_weights]
    found += [("io.max", f"{device} {kind}={rate or 'max'}") for kind, device, rate in limits.io_rates]
    return found


def _io_weight(weight: int) -> int:
    """10 to 1000 become 1 to 10000."""
    return 1 + (weight - 10) * 9999 // 990


def _or_max(value: int) -> str:
    return "max" if value < 0 else str(value)
