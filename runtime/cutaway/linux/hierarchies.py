"""Where this machine keeps its control groups, and in which of the two versions.

Version 1 has a tree per controller (memory, cpu, pids, …), each mounted somewhere; two controllers may share
one. Version 2 has a single tree for all. Machines in between ("hybrid") mount both, and each controller lives
in exactly one of them. Nothing is assumed about paths: the mount table says what is mounted where.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "freezer", "devices", "cpuset", "blkio")
# What a container gets without being asked for. Each one costs a directory and a write.
DEFAULT_CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "freezer", "devices")
_V2_CONTROLLERS = ("memory", "cpu", "pids", "cpuset", "io")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One tree of cgroups: where its root is for us, and what it controls.

    In version 2 also the named rest.
    """

    version: int
    base: str
    controllers: tuple[str, ...]


def parse_hierarchies(mountinfo: str, own_cgroups: str, *, at_root: bool) -> tuple[Hierarchy, ...]:
    """The trees in use, from the texts of /proc/self/mountinfo and /proc/self/cgroup, proc(5).

    `at_root`: groups are made at the tree's root, as Docker does; else below the cgroup that we are in, which
    is what a delegated subtree needs. A tree of version 2 without controllers, beside version 1, is left out.
    """
    own = _own_paths(own_cgroups)
    found: list[Hierarchy] = []
    unified: tuple[str, str] | None = None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fstype, _source, options = right.split(" ", 2)
        if fstype not in ("cgroup", "cgroup2"):
            continue
        root, mount_point = (unescaped(field) for field in left.split(" ")[3:5])
        if fstype == "cgroup2":
            base = mount_point if at_root else _below(mount_point, root, own.get("", "/"))
            unified = unified or (base, mount_point)
            continue
        controllers = tuple(name for name in CONTROLLERS if name in options.split(","))
        if controllers and not any(set(controllers) & set(other.controllers) for other in found):
            base = mount_point if at_root else _below(mount_point, root, own.get(controllers[0], "/"))
            found.append(Hierarchy(1, base, controllers))
    if unified and not found:
        found.append(Hierarchy(2, unified[0], _V2_CONTROLLERS))
    return tuple(sorted(found, key=lambda hierarchy: CONTROLLERS.index(hierarchy.controllers[0])))


@functools.cache
def hierarchies() -> tuple[Hierarchy, ...]:
    """The trees of this machine, found once per process; empty where none is mounted."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        mountinfo = file.read()
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        own = file.read()
    return parse_hierarchies(mountinfo, own, at_root=os.geteuid() == 0)


def directories(parent: str, name: str) -> dict[str, str]:
    """`{controller: directory}` for the cgroup `parent/name` in each tree; the directories need not exist."""
    return {
        controller: f"{hierarchy.base}/{parent.strip('/')}/{name}"
        for hierarchy in hierarchies()
        for controller in hierarchy.controllers
    }


def version() -> int:
    """1 where containers are controlled by version 1 (hybrid included), 2 on the unified tree, 0 for none."""
    trees = hierarchies()
    return trees[0].version if trees else 0


def mounted_names() -> tuple[str, ...]:
    """For `MountCgroup`: the options of each version 1 tree, such as ("memory", "cpu,cpuacct").

    Empty for version 2.
    """
    return tuple(",".join(tree.controllers) for tree in hierarchies() if tree.version == 1)


def _own_paths(text: str) -> dict[str, str]:
    paths = {}
    for line in text.splitlines():
        _number, names, path = line.split(":", 2)
        for name in names.split(","):
            paths[name] = path
    return paths


def _below(mount_point: str, root: str, own: str) -> str:
    """Our own cgroup as a directory. `root` is which cgroup the mount shows at its top."""
    inside = own[len(root) :] if root != "/" and own.startswith(root) else own
    return (mount_point + "/" + inside.strip("/")).rstrip("/")


def unescaped(field: str) -> str:
    r"""Undo the mount table's octal escapes: a blank in a path stands there as `\040`."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
