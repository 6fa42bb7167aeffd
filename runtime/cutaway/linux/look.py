"""What is in a process's namespaces, seen from outside.

`/proc/PID/ns/KIND` tells which namespace a process is in: a number, equal for those who share it,
namespaces(7). What is *in* it is told by other files of `/proc/PID`: its mounts, interfaces, id maps, cgroup.
Two kinds have no such file: the host name and the System V segments are always those of whoever asks. So a
thread joins the namespace, asks, and ends: namespaces belong to a thread, not to the whole process, setns(2).
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cutaway.linux import constants
from cutaway.linux.kernel import Kernel

KINDS = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")
ALL_IDS = (0, 0, 4294967295)

T = TypeVar("T")
IdRange = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `inner` is its number in its own pid namespace, None when that is ours."""

    pid: int
    parent: int
    inner: int | None
    name: str
    command: str
    cgroup: str
    pid_namespace: int
    """Inode; 0 when it may not be read."""


def namespaces(pid: int | str = "self") -> dict[str, int]:
    """The inode of each namespace by kind; kinds that this kernel does not have are left out.

    Raises ProcessLookupError or FileNotFoundError when the process is gone.
    """
    links = {kind: Path(f"/proc/{pid}/ns/{kind}") for kind in KINDS}
    return {kind: link.stat().st_ino for kind, link in links.items() if kind != "time" or link.exists()}


def root_file_system(pid: int | str = "self") -> tuple[str, int]:
    """What is mounted on `/`: the type, and for overlayfs how many layers it has (the upper one included)."""
    found = ("", 0)
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[4] == "/":
            kind, _, options = after.split(" ", 2)
            found = (kind, _overlay_layers(options) if kind == "overlay" else 0)
    return found


def _overlay_layers(options: str) -> int:
    # lowerdir=a:b:c in one option, or lowerdir+=a once for each
    names = [option.partition("=") for option in options.split(",")]
    lowers = sum(value.count(":") + 1 for name, _, value in names if name in ("lowerdir", "lowerdir+"))
    return lowers + any(name == "upperdir" for name, _, _ in names)


def interfaces(pid: int | str = "self") -> list[str]:
    """Names of the network interfaces, proc_net(5)."""
    lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    return [line.partition(":")[0].strip() for line in lines]


def uid_map(pid: int | str = "self") -> list[IdRange]:
    """(first inside, first outside, count) of each range, user_namespaces(7)."""
    lines = Path(f"/proc/{pid}/uid_map").read_text().splitlines()
    return [(int(inside), int(outside), int(count)) for inside, outside, count in map(str.split, lines)]


def cgroup(pid: int | str = "self") -> str:
    """The path of its cgroup: that of the pids controller, or the unified one; cgroups(7)."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    paths = {controllers: path for _, controllers, path in lines}
    return paths.get("pids") or paths.get("", "/")


def clock_offsets(pid: int | str = "self") -> dict[str, float]:
    """Seconds by which the monotonic and boot clocks are set off, time_namespaces(7); empty without them."""
    try:
        text = Path(f"/proc/{pid}/timens_offsets").read_text()
    except OSError:
        return {}
    offsets = (line.split() for line in text.splitlines())
    return {name: int(seconds) + int(nanoseconds) / 1e9 for name, seconds, nanoseconds in offsets}


def host_name(pid: int | None = None) -> str:
    """The host name in a process's UTS namespace. Raises OSError when it may not be joined."""
    return socket.gethostname() if pid is None else _joined(pid, "uts", socket.gethostname)


def shared_memory_segments(pid: int | None = None) -> int:
    """How many System V segments are in a process's IPC namespace.

    Raises OSError when it may not be joined.
    """
    return _count_segments() if pid is None else _joined(pid, "ipc", _count_segments)


def process_numbers() -> Iterator[int]:
    """The pid of every process that can be seen from here."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def processes(wanted: Callable[[int, int], bool]) -> Iterator[Process]:
    """Every process for which `wanted(pid, inode of its pid namespace)` says yes.

    Those that end are left out.
    """
    for pid in process_numbers():
        try:
            if wanted(pid, os.stat(f"/proc/{pid}/ns/pid").st_ino):
                yield process(pid)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue


def process(pid: int) -> Process:
    """One process. Raises FileNotFoundError or ProcessLookupError when it is gone."""
    folder = Path(f"/proc/{pid}")
    lines = (line.partition(":") for line in (folder / "status").read_text().splitlines())
    status = {name: value.strip() for name, _, value in lines}
    words = (folder / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    command = b" ".join(words).decode(errors="replace").strip()
    numbers = status.get("NSpid", str(pid)).split()
    return Process(
        pid,
        int(status["PPid"]),
        int(numbers[-1]) if len(numbers) > 1 else None,
        status["Name"],
        command or f"[{status['Name']}]",
        cgroup(pid),
        _pid_namespace(folder),
    )


def _pid_namespace(folder: Path) -> int:
    """0 for a process that has a right which we lack: its links may not be followed, ptrace(2)."""
    try:
        return (folder / "ns/pid").stat().st_ino
    except PermissionError:
        return 0


def _count_segments() -> int:
    return len(Path("/proc/sysvipc/shm").read_text().splitlines()) - 1


def _joined(pid: int, kind: str, ask: Callable[[], T]) -> T:
    """The answer of `ask` in one namespace of a process, from a thread that ends with it."""
    flag = {"uts": constants.CLONE_NEWUTS, "ipc": constants.CLONE_NEWIPC}[kind]
    answers: list[T] = []
    errors: list[OSError] = []

    def visit() -> None:
        try:
            with open(f"/proc/{pid}/ns/{kind}") as namespace:
                Kernel().setns(namespace.fileno(), flag)
            answers.append(ask())
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=visit, name=f"visit {kind} of {pid}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return answers[0]
