"""Where control groups are, told from the texts of real machines."""

from __future__ import annotations

import struct

import pytest

from cutaway.linux import cgroups
from cutaway.linux.cgroups import MakeCgroup
from cutaway.linux.device_filter import compile_devices
from cutaway.linux.hierarchies import Hierarchy, parse_hierarchies
from cutaway.linux.recording import calls

V2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = """\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /odd\\040place/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_a_unified_machine_has_one_tree() -> None:
    (tree,) = parse_hierarchies(V2, "0::/user.slice\n", at_root=True)
    assert tree == Hierarchy(2, "/sys/fs/cgroup", ("memory", "cpu", "pids", "cpuset", "io"))


def test_without_root_groups_are_made_below_our_own() -> None:
    (tree,) = parse_hierarchies(V2, "0::/user.slice/me.scope\n", at_root=False)
    assert tree.base == "/sys/fs/cgroup/user.slice/me.scope"


def test_a_hybrid_machine_uses_the_trees_that_have_controllers() -> None:
    own = "3:cpu,cpuacct:/\n2:memory:/a\n0::/\n"
    assert parse_hierarchies(HYBRID, own, at_root=True) == (
        Hierarchy(1, "/odd place/memory", ("memory",)),
        Hierarchy(1, "/sys/fs/cgroup/cpu,cpuacct", ("cpu", "cpuacct")),
    )


def test_a_machine_without_control_groups_has_none() -> None:
    assert parse_hierarchies("1 1 0:1 / / rw - ext4 /dev/a rw\n", "", at_root=True) == ()


def test_limits_in_the_words_of_version_2(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = parse_hierarchies(V2, "0::/\n", at_root=True)
    monkeypatch.setattr(cgroups, "hierarchies", lambda: trees)
    step = MakeCgroup(
        "p", "n", memory=1000, memory_swap=1500, cpu_quota=50000, cpu_shares=1024, pids=-1, devices=()
    )
    assert calls(step) == [
        'mkdir("/sys/fs/cgroup/p/n", 0755)',
        'write("/sys/fs/cgroup/p/n/memory.max", "1000")',
        'write("/sys/fs/cgroup/p/n/memory.swap.max", "500")',
        'write("/sys/fs/cgroup/p/n/cpu.max", "50000 100000")',
        'write("/sys/fs/cgroup/p/n/cpu.weight", "39")',
        'write("/sys/fs/cgroup/p/n/pids.max", "max")',
    ]


def _run(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """The few eBPF instructions that a device filter is made of, interpreted."""
    bits = sum({"m": 1, "r": 2, "w": 4}[letter] for letter in access)
    context = {0: bits << 16 | {"b": 1, "c": 2}[kind], 4: major, 8: minor}
    code = [struct.unpack_from("=BBhi", program, at) for at in range(0, len(program), 8)]
    registers, at = [0] * 11, 0
    while True:
        opcode, pair, offset, constant = code[at]
        target, source, at = pair & 15, pair >> 4, at + 1
        if opcode == 0x61:
            registers[target] = context[offset]
        elif opcode == 0xBC:
            registers[target] = registers[source]
        elif opcode == 0xB4:
            registers[target] = constant
        elif opcode == 0x54:
            registers[target] &= constant
        elif opcode == 0x74:
            registers[target] >>= constant
        elif opcode == 0x56:
            at += offset if registers[target] != constant else 0
        elif opcode == 0x46:
            at += offset if registers[target] & constant else 0
        elif opcode == 0x95:
            return bool(registers[0])


@pytest.mark.parametrize(
    ("kind", "major", "minor", "access", "allowed"),
    [
        ("c", 1, 3, "rw", True),
        ("c", 1, 11, "r", False),
        ("c", 1, 11, "m", True),
        ("b", 8, 0, "m", True),
        ("b", 8, 0, "r", False),
        ("b", 1, 3, "r", False),
        ("c", 136, 77, "rw", True),
        ("c", 136, 77, "rwm", True),
    ],
)
def test_the_device_program_decides_as_the_list_does(
    kind: str, major: int, minor: int, access: str, *, allowed: bool
) -> None:
    assert _run(compile_devices(cgroups.DEFAULT_DEVICES), kind, major, minor, access) is allowed
