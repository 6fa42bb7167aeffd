"""A process that the keeper has started and will see end: a container's first one, or an exec's.

When it ends four things must happen in this order: its last output reaches the log, its exit code reaches the
disk, the engine hears of it, and only then its clients' streams are closed. So whoever waits finds
everything, a client that asks for the exit code at the end of its stream gets it, and an engine that was away
finds the code in `exit.json`.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from cutaway.container.launch import Launch
from cutaway.container.logfile import timestamp
from cutaway.container.stdio import Stdio
from cutaway.linux.cgroups import Cgroup


@dataclasses.dataclass(slots=True)
class Process:
    """`key` is the container's id, or the exec's. `exit_path` is empty for an exec."""

    key: str
    container: str
    launch: Launch
    stdio: Stdio
    exit_path: str = ""
    trace_path: str = ""
    cgroup: Cgroup | None = None
    pid: int = 0
    start_time: int = 0
    started_ns: int = 0

    @property
    def is_exec(self) -> bool:
        """Whether it runs beside a container's first process."""
        return self.key != self.container

    def about(self) -> dict[str, Any]:
        """What an engine that takes over has to know. `started` in nanoseconds since the epoch."""
        names = {"id": self.container} | ({"exec_id": self.key} if self.is_exec else {})
        return {**names, "pid": self.pid, "start_time": self.start_time, "started": self.started_ns}


def exit_code(status: int) -> int:
    """A shell's reading of a wait status: the program's own code, or 128 and the signal that killed it."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def start_time(pid: int) -> int:
    """When a process began, in clock ticks since boot: with the pid it names it for ever, proc(5)."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def write_exit(path: str, code: int, *, oom: bool, finished_ns: int) -> None:
    """Leave the exit code where the next engine will look. A full disk loses it: 137 is assumed then."""
    write_atomic(path, {"code": code, "oom": oom, "finished": timestamp(finished_ns)})


def write_trace(path: str, launch: Launch) -> None:
    """Leave how the start went, for `explain` and the views."""
    result = launch.failure["message"] if launch.failure else "ok"
    write_atomic(path, {"result": result, "steps": launch.trace})


def write_atomic(path: str, data: dict[str, Any]) -> None:
    """Whole or not at all. Not synced: after a power failure there is no container either."""
    try:
        with open(path + ".new", "w") as file:
            json.dump(data, file)
        os.rename(path + ".new", path)  # noqa: PTH104 - the keeper does without pathlib
    except OSError:
        pass  # a full disk or a removed container must not stop the keeper
