"""What /proc tells about processes, proc(5): read once, parsed once, gone is an ordinary answer.

A process can end between two reads, so each function here answers None (or leaves the process out) instead of
raising. A process number alone does not name a process for long; the number with its start time does.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

from cutaway.linux.hierarchies import unescaped

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")


@dataclass(frozen=True, slots=True)
class Process:
    """A line of `ps`.

    `start_time` is in clock ticks since boot; `inner_pids` from the outermost pid namespace in.
    """

    pid: int
    ppid: int
    name: str
    state: str
    start_time: int
    uid: int
    inner_pids: tuple[int, ...]
    command: tuple[str, ...]
    rss: int
    cpu_ticks: int


@dataclass(frozen=True, slots=True)
class MountPoint:
    """A line of mountinfo.

    Where, of which type, from what, with which options of the mount and of the file system.
    """

    id: int
    parent: int
    root: str
    target: str
    options: str
    fstype: str
    source: str
    super_options: str


def namespaces(pid: int | str = "self") -> dict[str, int]:
    """The inode number of each namespace of a process, e.g.

    `{"mnt": 4026531841, …}`; empty when it is gone.
    """
    found = {}
    for name in NAMESPACES:
        try:
            link = os.readlink(f"/proc/{pid}/ns/{name}")
        except OSError:
            continue
        found[name] = int(link.partition("[")[2].rstrip("]"))
    return found


def process(pid: int) -> Process | None:
    """One process, or None when it is gone."""
    stat, status = _read(f"/proc/{pid}/stat"), _read(f"/proc/{pid}/status")
    if not stat or not status:
        return None
    head, _, tail = stat.rpartition(")")  # the name in parentheses may hold anything
    fields, lines = tail.split(), _lines(status)
    inner = tuple(int(number) for number in lines.get("NSpid", str(pid)).split())
    return Process(
        pid=pid,
        ppid=int(fields[1]),
        name=head.partition("(")[2],
        state=fields[0],
        start_time=int(fields[19]),
        uid=int(lines.get("Uid", "0").split()[0]),
        inner_pids=inner,
        command=command(pid),
        rss=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        cpu_ticks=int(fields[11]) + int(fields[12]),
    )


def start_time(pid: int) -> int | None:
    """Clock ticks since boot at which the process began: with the pid it names the process for good."""
    stat = _read(f"/proc/{pid}/stat")
    return int(stat.rpartition(")")[2].split()[19]) if stat else None


def command(pid: int) -> tuple[str, ...]:
    """The words of its command line; empty for a kernel thread, a zombie and one that is gone."""
    text = _read(f"/proc/{pid}/cmdline")
    return tuple(text.rstrip("\0").split("\0")) if text else ()


def all_pids() -> list[int]:
    """Every process number that this pid namespace shows, in order."""
    return sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())


def in_same_namespace(pid: int, kind: str = "pid") -> list[int]:
    """The processes that share a namespace with `pid`, itself among them; empty when it is gone."""
    wanted = _namespace(pid, kind)
    return [other for other in all_pids() if _namespace(other, kind) == wanted] if wanted else []


def children(pid: int) -> list[int]:
    """The child processes of all threads of a process."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    for thread in threads:
        found += [int(number) for number in _read(f"/proc/{pid}/task/{thread}/children").split()]
    return sorted(found)


@functools.cache
def boot_time() -> int:
    """When the machine started, in seconds since 1970."""
    return int(_lines(_read("/proc/stat"), " ").get("btime", "0"))


def mounts(pid: int | str = "self") -> list[MountPoint]:
    """The mount table that a process sees, in order; empty when it is gone."""
    return [parse_mount(line) for line in _read(f"/proc/{pid}/mountinfo").splitlines()]


def parse_mount(line: str) -> MountPoint:
    """One line of mountinfo."""
    left, _, right = line.partition(" - ")
    fields, rest = left.split(" "), right.split(" ", 2)
    return MountPoint(
        id=int(fields[0]),
        parent=int(fields[1]),
        root=unescaped(fields[3]),
        target=unescaped(fields[4]),
        options=fields[5],
        fstype=rest[0],
        source=unescaped(rest[1]),
        super_options=rest[2] if len(rest) > 2 else "",
    )


def _namespace(pid: int, kind: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _lines(text: str, separator: str = ":") -> dict[str, str]:
    pairs = (line.partition(separator) for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}
