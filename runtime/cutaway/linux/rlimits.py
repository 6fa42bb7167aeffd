"""Resource limits: what one process may use, as `ulimit` shows it.

They belong to a process and pass on to its children, unlike a cgroup's limits, which hold for all of its
processes together. A process may lower its hard limit, and raise it only with CAP_SYS_RESOURCE.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

from cutaway.errors import BadInputError
from cutaway.linux.step import Context, Step

# Docker's names of `--ulimit`, getrlimit(2)
NUMBERS = {
    "core": resource.RLIMIT_CORE,
    "cpu": resource.RLIMIT_CPU,
    "data": resource.RLIMIT_DATA,
    "fsize": resource.RLIMIT_FSIZE,
    "locks": 10,
    "memlock": resource.RLIMIT_MEMLOCK,
    "msgqueue": resource.RLIMIT_MSGQUEUE,
    "nice": resource.RLIMIT_NICE,
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
    "rss": resource.RLIMIT_RSS,
    "rtprio": resource.RLIMIT_RTPRIO,
    "rttime": resource.RLIMIT_RTTIME,
    "sigpending": resource.RLIMIT_SIGPENDING,
    "stack": resource.RLIMIT_STACK,
}


def limit_number(name: str) -> int:
    """The kernel's number for Docker's name. BadInputError in Docker's words for another."""
    if name not in NUMBERS:
        raise BadInputError(f"invalid ulimit type: {name}", f"one of {', '.join(sorted(NUMBERS))}")
    return NUMBERS[name]


@dataclass(frozen=True, slots=True)
class SetRlimits(Step):
    """Set limits, each (name, soft, hard); -1 is unlimited.

    Before `SetUser`: raising one needs root's rights.
    """

    limits: tuple[tuple[str, int, int], ...]

    def describe(self) -> str:
        return "limit " + ", ".join(f"{name} to {soft}:{hard}" for name, soft, hard in self.limits)

    def execute(self, context: Context) -> None:
        for name, soft, hard in self.limits:
            context.kernel.setrlimit(limit_number(name), soft, hard)
