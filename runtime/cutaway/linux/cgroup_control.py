"""A living control group: who is in it, what it used, and stopping all of it at once.

`freeze` stops every process where it stands, unasked and unseen by the process (a signal could be caught by
the parent, a freeze cannot). It is also what makes killing safe: a frozen process cannot fork, nor end and
leave its number to a stranger, between our reading the list and our signals. Version 2 does all that by one
file, `cgroup.kill`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cutaway.linux.hierarchies import directories, hierarchies


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The group `parent/name`.

    Reading one that is gone gives zeros and empty lists; changing it FileNotFoundError.
    """

    parent: str
    name: str

    def path(self, controller: str) -> str:
        """Its directory in the tree of a controller.

        FileNotFoundError where the machine lacks the controller.
        """
        try:
            return directories(self.parent, self.name)[controller]
        except KeyError:
            raise FileNotFoundError(2, "this machine has no such cgroup controller", controller) from None

    def exists(self) -> bool:
        """Whether any tree has it."""
        return any(os.path.isdir(path) for path in set(directories(self.parent, self.name).values()))

    def processes(self) -> list[int]:
        """Process numbers as this process sees them, in groups below it too."""
        for controller in ("pids", "memory", "cpu"):
            if path := directories(self.parent, self.name).get(controller):
                return _processes_below(path)
        return []

    def freeze(self) -> None:
        """Stop all its processes.

        Returns once the last has stopped; TimeoutError when one does not within 5 s.
        """
        if self._version() == 2:
            _write(f"{self.path('memory')}/cgroup.freeze", "1")
            _wait_for(lambda: "frozen 1" in _read(f"{self.path('memory')}/cgroup.events"))
            return
        state = f"{self.path('freezer')}/freezer.state"

        def frozen() -> bool:
            _write(
                state, "FROZEN"
            )  # written again: processes that forked meanwhile are caught by the next write
            return _read(state).strip() == "FROZEN"

        _wait_for(frozen)

    def thaw(self) -> None:
        """Let them go on."""
        if self._version() == 2:
            _write(f"{self.path('memory')}/cgroup.freeze", "0")
        else:
            _write(f"{self.path('freezer')}/freezer.state", "THAWED")

    def frozen(self) -> bool:
        """Whether it is frozen."""
        if self._version() == 2:
            return "frozen 1" in _read(f"{self.path('memory')}/cgroup.events")
        return _read(f"{self.path('freezer')}/freezer.state").strip() == "FROZEN"

    def kill_all(self) -> None:
        """SIGKILL to every process in it and below. Does not wait for their end; none there is fine."""
        if self._version() == 2:
            with contextlib.suppress(FileNotFoundError):
                _write(f"{self.path('memory')}/cgroup.kill", "1")
            return
        with contextlib.suppress(OSError):
            self.freeze()
        try:
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        finally:
            with contextlib.suppress(OSError):
                self.thaw()

    def oom_kills(self) -> int:
        """How many of its processes the kernel killed for want of memory."""
        file = "memory.events" if self._version() == 2 else "memory.oom_control"
        return _pairs(f"{self.path('memory')}/{file}").get("oom_kill", 0)

    def update(self, controller: str, file: str, value: str) -> None:
        """Set one limit of a living group, e.g. `("pids", "pids.max", "100")`."""
        _write(f"{self.path(controller)}/{file}", value)

    def stats(self) -> dict[str, Any]:
        """What it used so far: `memory` (bytes), `cpu` (nanoseconds), `pids`. See the two functions below."""
        return _stats_v2(self.path("memory")) if self._version() == 2 else _stats_v1(self)

    def disk_bytes(self) -> list[dict[str, Any]]:
        """Read from and written to disks, as Docker lists it: major, minor, op, value (bytes).

        Empty in version 1 for a group that has no limits of disks: it is not counted there.
        """
        if self._version() == 2:
            return list(_disk_v2(_read(f"{self.path('memory')}/io.stat")))
        try:
            text = _read(f"{self.path('blkio')}/blkio.throttle.io_service_bytes_recursive")
        except FileNotFoundError:
            return []
        return list(_disk_v1(text))

    @staticmethod
    def remove_below(directory: str) -> None:
        """Remove the groups below a directory, the deepest first; what is busy stays."""
        for path, _names, _files in os.walk(directory, topdown=False):
            if path != directory:
                with contextlib.suppress(OSError):
                    os.rmdir(path)

    def _version(self) -> int:
        trees = hierarchies()
        return trees[0].version if trees else 0


def _stats_v1(group: Cgroup) -> dict[str, Any]:
    memory, cpu, cpuacct, pids = (group.path(name) for name in ("memory", "cpu", "cpuacct", "pids"))
    times = _pairs(f"{cpuacct}/cpuacct.stat")  # in ticks of 10 ms
    throttled = _pairs(f"{cpu}/cpu.stat")
    return {
        "memory": {
            "usage": _number(f"{memory}/memory.usage_in_bytes"),
            "max_usage": _number(f"{memory}/memory.max_usage_in_bytes"),
            "limit": _number(f"{memory}/memory.limit_in_bytes"),
            "failcnt": _number(f"{memory}/memory.failcnt"),
            "stats": _pairs(f"{memory}/memory.stat"),
        },
        "cpu": {
            "total": _number(f"{cpuacct}/cpuacct.usage"),
            "user": times.get("user", 0) * 10_000_000,
            "system": times.get("system", 0) * 10_000_000,
            "per_cpu": [int(word) for word in _read(f"{cpuacct}/cpuacct.usage_percpu").split()],
            "periods": throttled.get("nr_periods", 0),
            "throttled_periods": throttled.get("nr_throttled", 0),
            "throttled_time": throttled.get("throttled_time", 0),
        },
        "pids": {"current": _number(f"{pids}/pids.current"), "limit": _number(f"{pids}/pids.max")},
    }


def _stats_v2(path: str) -> dict[str, Any]:
    cpu = _pairs(f"{path}/cpu.stat")  # in microseconds
    return {
        "memory": {
            "usage": _number(f"{path}/memory.current"),
            "max_usage": _number(f"{path}/memory.peak"),
            "limit": _number(f"{path}/memory.max"),
            "failcnt": _pairs(f"{path}/memory.events").get("max", 0),
            "stats": _pairs(f"{path}/memory.stat"),
        },
        "cpu": {
            "total": cpu.get("usage_usec", 0) * 1000,
            "user": cpu.get("user_usec", 0) * 1000,
            "system": cpu.get("system_usec", 0) * 1000,
            "per_cpu": [],
            "periods": cpu.get("nr_periods", 0),
            "throttled_periods": cpu.get("nr_throttled", 0),
            "throttled_time": cpu.get("throttled_usec", 0) * 1000,
        },
        "pids": {"current": _number(f"{path}/pids.current"), "limit": _number(f"{path}/pids.max")},
    }


def _disk_v1(text: str) -> Iterator[dict[str, Any]]:
    """Lines such as `8:0 Read 4096`."""
    for line in text.splitlines():
        device, _, rest = line.partition(" ")
        operation, _, number = rest.partition(" ")
        major, colon, minor = device.partition(":")
        if colon and number.isdecimal():
            yield {"major": int(major), "minor": int(minor), "op": operation, "value": int(number)}


def _disk_v2(text: str) -> Iterator[dict[str, Any]]:
    """Lines such as `8:0 rbytes=4096 wbytes=0 rios=1 wios=0`."""
    for line in text.splitlines():
        device, _, rest = line.partition(" ")
        major, _, minor = device.partition(":")
        numbers = dict(word.partition("=")[::2] for word in rest.split())
        for operation, key in (("read", "rbytes"), ("write", "wbytes")):
            if numbers.get(key, "").isdecimal():
                yield {"major": int(major), "minor": int(minor), "op": operation, "value": int(numbers[key])}


def _processes_below(path: str) -> list[int]:
    pids: list[int] = []
    for directory, _names, _files in os.walk(path):
        pids += [int(line) for line in _read(f"{directory}/cgroup.procs").split()]
    return pids


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:  # gone, or ENODEV while it is going
        return ""


def _number(path: str) -> int:
    """0 for what is missing or has no bound ("max")."""
    text = _read(path).strip()
    return int(text) if text.isdecimal() else 0


def _pairs(path: str) -> dict[str, int]:
    pairs = {}
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if value.isdecimal():
            pairs[key] = int(value)
    return pairs


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _wait_for(done: Any) -> None:
    deadline, pause = time.monotonic() + 5, 0.0002
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError("the control group did not freeze within 5 s")
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
