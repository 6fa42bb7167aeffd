"""How much of the machine a container may use: checked, and turned into its control group.

What makes no sense is refused in Docker's words. What this kernel cannot limit is discarded with a warning,
also in Docker's words, and then says 0 in inspect too: a limit that does not hold must not be shown.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from cutaway.container.devices import rules
from cutaway.container.records import Record
from cutaway.container.spec import DeviceRate, Resources
from cutaway.errors import BadInputError
from cutaway.linux.cgroups import DEFAULT_DEVICES, MakeCgroup
from cutaway.linux.devices import Node
from cutaway.linux.hierarchies import Hierarchy, hierarchies, version

MINIMUM_MEMORY = 6 * 1024 * 1024
_ABSENT = "Your kernel does not support {} or the cgroup is not mounted. {}"
_RATES = {
    "blkio_device_read_bps": ("rbps", "BPS Block I/O read limit", "blkio.throttle.read_bps_device"),
    "blkio_device_write_bps": ("wbps", "BPS Block I/O write limit", "blkio.throttle.write_bps_device"),
    "blkio_device_read_iops": ("riops", "IOPS Block read limit", "blkio.throttle.read_iops_device"),
    "blkio_device_write_iops": ("wiops", "IOPS Block write limit", "blkio.throttle.write_iops_device"),
}


def check_resources(limits: Resources) -> None:
    """Raises BadInputError for what no machine could do, or not this one."""
    _check_memory(limits)
    _check_processors(limits)
    if limits.blkio_weight and not 10 <= limits.blkio_weight <= 1000:
        raise BadInputError("Range of blkio weight is from 10 to 1000")
    for field in ("blkio_weight_device", *_RATES):
        for rate in getattr(limits, field):
            _device_number(rate)


def _check_memory(limits: Resources) -> None:
    memory, swap = limits.memory, limits.memory_swap
    if 0 < memory < MINIMUM_MEMORY:
        raise BadInputError("Minimum memory limit allowed is 6MB", "ask for more, such as --memory 16m")
    if memory < 0 or limits.memory_reservation < 0 or swap < -1:
        raise BadInputError("a limit cannot be negative", "leave it out for no limit")
    if swap > 0 and not memory:
        raise BadInputError("You should always set the Memory limit when using Memoryswap limit, see usage")
    if 0 < swap < memory:
        raise BadInputError("Minimum memoryswap limit should be larger than memory limit, see usage")
    if 0 < limits.memory_reservation < MINIMUM_MEMORY:
        raise BadInputError("Minimum memory reservation allowed is 6MB")
    if 0 < memory < limits.memory_reservation:
        raise BadInputError("Minimum memory limit can not be less than memory reservation limit, see usage")
    if not -1 <= limits.memory_swappiness <= 100:
        raise BadInputError(
            f"Invalid value: {limits.memory_swappiness}, valid memory swappiness range is 0-100"
        )


def _check_processors(limits: Resources) -> None:
    if limits.nano_cpus and (limits.cpu_quota or limits.cpu_period):
        other = "Quota" if limits.cpu_quota else "Period"
        raise BadInputError(f"Conflicting options: Nano CPUs and CPU {other} cannot both be set.")
    cpus = os.cpu_count() or 1
    if limits.nano_cpus and not 10_000_000 <= limits.nano_cpus <= cpus * 1_000_000_000:
        raise BadInputError(
            f"range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available",
            f"this machine has {cpus}",
        )
    if limits.cpu_period and not 1000 <= limits.cpu_period <= 1_000_000:
        raise BadInputError(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
            "in microseconds: 100000 is usual",
        )
    if 0 < limits.cpu_quota < 1000:
        raise BadInputError("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if limits.cpu_shares < 0:
        raise BadInputError(f"invalid CPU shares ({limits.cpu_shares}): value must be a positive integer")
    if limits.cpu_realtime_period or limits.cpu_realtime_runtime:
        raise BadInputError("Your kernel does not support CPU real-time scheduler", "leave out --cpu-rt-…")
    _check_set(limits.cpuset_cpus, "cpus", "CPUs", "/sys/devices/system/cpu/online")
    _check_set(limits.cpuset_mems, "mems", "memory nodes", "/sys/devices/system/node/online")


def _check_set(text: str, field: str, noun: str, available_file: str) -> None:
    if not text:
        return
    try:
        wanted = numbers_of(text)
    except ValueError as error:
        raise BadInputError(f"Invalid value {text} for cpuset {field}", "write it as 0-2,5") from error
    try:
        with open(available_file, encoding="ascii") as file:
            available = file.read().strip()
    except OSError:
        available = "0"
    if not wanted <= numbers_of(available):
        raise BadInputError(f"Requested {noun} are not available - requested {text}, available: {available}")


def numbers_of(text: str) -> set[int]:
    """`0-2,5` as numbers. Raises ValueError."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        low, high = int(first), int(last if dash else first)
        if not 0 <= low <= high < 1 << 16:
            raise ValueError(text)
        found |= set(range(low, high + 1))
    return found


def discard_unsupported(limits: Resources) -> Iterator[str]:
    """Take back what this kernel cannot limit. Yields Docker's warning for each."""
    trees = {name: tree for tree in hierarchies() for name in tree.controllers}
    if limits.memory and "memory" not in trees:
        yield _ABSENT.format("memory limit capabilities", "Limitation discarded.")
        limits.memory = limits.memory_swap = 0
    if (
        limits.memory
        and limits.memory_swap != -1
        and not _has(trees, "memory", "memory.memsw.limit_in_bytes")
    ):
        yield _ABSENT.format("swap limit capabilities", "Memory limited without swap.")
        limits.memory_swap = -1
    if limits.memory_swappiness >= 0 and not _has(trees, "memory", "memory.swappiness", in_v2=False):
        yield _ABSENT.format("memory swappiness capabilities", "Memory swappiness discarded.")
        limits.memory_swappiness = -1
    if limits.oom_kill_disable and not _has(trees, "memory", "memory.oom_control", in_v2=False):
        yield _ABSENT.format("OomKillDisable", "OomKillDisable discarded.")
        limits.oom_kill_disable = False
    if limits.oom_kill_disable and not limits.memory:
        yield (
            "OOM killer is disabled for the container, but no memory limit is set, "
            "this can result in the system running out of resources."
        )
    if limits.kernel_memory:
        yield _ABSENT.format("kernel memory limit capabilities", "Limitation discarded.")
        limits.kernel_memory = 0
    if limits.pids_limit > 0 and "pids" not in trees:
        yield _ABSENT.format("pids limit capabilities", "PIDs limit discarded.")
        limits.pids_limit = 0
    yield from _discard_disks(limits, trees)


def _discard_disks(limits: Resources, trees: dict[str, Hierarchy]) -> Iterator[str]:
    weighted = _has(trees, "blkio", "blkio.weight") or _has(trees, "blkio", "blkio.bfq.weight")
    if limits.blkio_weight and not weighted:
        yield _ABSENT.format("Block I/O weight", "Weight discarded.")
        limits.blkio_weight = 0
    if limits.blkio_weight_device and not weighted:
        yield _ABSENT.format("Block I/O weight_device", "Weight-device discarded.")
        limits.blkio_weight_device = []
    for field, (_, noun, file) in _RATES.items():
        if getattr(limits, field) and not _has(trees, "blkio", file):
            yield _ABSENT.format(noun, f"{noun.replace('BPS Block I/O', 'Block I/O BPS')} discarded.")
            setattr(limits, field, [])


def _has(trees: dict[str, Hierarchy], controller: str, file: str, *, in_v2: bool = True) -> bool:
    """Whether the kernel has a file of version 1, or in version 2 what stands for it."""
    if version() == 2:
        return in_v2 and _has_v2(file)
    tree = trees.get(controller)
    return tree is not None and Path(tree.base, file).exists()


def _has_v2(file: str) -> bool:
    """The files are in every group but the root's; the tree's list of controllers tells of them."""
    base = hierarchies()[0].base
    try:
        with open(f"{base}/cgroup.controllers", encoding="ascii") as listed:
            return ("io" if file.startswith("blkio") else "memory") in listed.read().split()
    except OSError:
        return False


def _device_number(rate: DeviceRate) -> str:
    """`8:0` of a disk's path. Raises BadInputError when it is none."""
    try:
        number = Path(rate.path).stat().st_rdev
    except OSError as error:
        raise BadInputError(
            f"failed to get device {rate.path}: {(error.strerror or '').lower()}", "ls /dev shows the disks"
        ) from error
    if not number:
        raise BadInputError(f"{rate.path} is not a device", "ls /dev shows the disks")
    return f"{os.major(number)}:{os.minor(number)}"


def cgroup_step(record: Record, instance: str, nodes: tuple[Node, ...] = ()) -> MakeCgroup:
    """The container's control group. `nodes` are devices that it may use besides the usual ones."""
    host = record.host
    quota, period = host.cpu_quota, host.cpu_period
    if host.nano_cpus:
        period = 100_000
        quota = host.nano_cpus * period // 1_000_000_000
    swap = host.memory_swap or 2 * host.memory  # Docker's default: as much swap as memory
    return MakeCgroup(
        instance,
        record.id,
        memory=host.memory,
        memory_swap=swap if host.memory else 0,
        memory_reservation=host.memory_reservation,
        memory_swappiness=host.memory_swappiness,
        oom_kill_disable=host.oom_kill_disable,
        cpu_quota=quota,
        cpu_period=period,
        cpu_shares=host.cpu_shares,
        pids=host.pids_limit,
        cpuset_cpus=host.cpuset_cpus,
        cpuset_mems=host.cpuset_mems,
        io_weight=host.blkio_weight,
        io_weights=tuple((_device_number(rate), rate.weight) for rate in host.blkio_weight_device),
        io_rates=tuple(
            (kind, _device_number(rate), rate.rate)
            for field, (kind, _, _) in _RATES.items()
            for rate in getattr(host, field)
        ),
        devices=() if host.privileged else (*DEFAULT_DEVICES, *rules(host, nodes)),
    )


def merged(limits: Resources, wishes: Resources) -> Resources:
    """What is set after an update: whatever the wishes name, else what was.

    Raises BadInputError in Docker's words for a wish that contradicts what is set.
    """
    if wishes.nano_cpus and (limits.cpu_quota or limits.cpu_period):
        raise BadInputError(
            "Conflicting options: Nano CPUs cannot be updated as CPU Period/Quota has already been set"
        )
    if (wishes.cpu_quota or wishes.cpu_period) and limits.nano_cpus:
        raise BadInputError(
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"
        )
    if wishes.memory and not wishes.memory_swap and 0 < limits.memory_swap < wishes.memory:
        raise BadInputError(
            "Memory limit should be smaller than already set memoryswap limit, "
            "update the memoryswap at the same time",
            "give --memory-swap too",
        )
    defaults = Resources()
    given = {
        field: getattr(wishes, field)
        for field in Resources.__struct_fields__
        if getattr(wishes, field) != getattr(defaults, field)
    }
    return msgspec.structs.replace(limits, **given)
