"""A plan: all that it takes to start one process, as five lists of steps and a set of clone flags.

    before   the keeper, before there is a process          a cgroup
    clone    the keeper; the child begins in new namespaces
    beside   the keeper, while the child runs                a veth pair into the child's network namespace
    inside   the child, in its new namespaces; ends in Exec  mounts, root, user, capabilities, filter
    after    the keeper, when the process has ended          the cgroup goes

A plan is data: the engine makes it, the keeper runs it, `explain` prints it, the trace of a start repeats it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from cutaway.linux.namespaces import FLAGS
from cutaway.linux.step import Step, step_from_json


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What to do to start a process. `namespaces` are new ones, by the names of `linux.namespaces.FLAGS`.

    `pid_namespace_of` is the pid of the process whose pid namespace the child is born into; 0: the keeper's.
    """

    before: tuple[Step, ...] = ()
    namespaces: tuple[str, ...] = ()
    pid_namespace_of: int = 0
    beside: tuple[Step, ...] = ()
    inside: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()

    @property
    def clone_flags(self) -> int:
        """The flags of clone(2)."""
        flags = 0
        for name in self.namespaces:
            flags |= FLAGS[name]
        return flags

    def phases(self) -> Iterator[tuple[str, tuple[Step, ...]]]:
        """(name, steps) in the order of execution; the clone itself stands between `before` and `beside`."""
        yield "before", self.before
        yield "beside", self.beside
        yield "inside", self.inside
        yield "after", self.after

    def describe_clone(self) -> str:
        """One line about how the child comes into being."""
        if self.namespaces:
            return f"make a process with its own namespaces: {', '.join(self.namespaces)}"
        if self.pid_namespace_of:
            return f"make a process in the pid namespace of process {self.pid_namespace_of}"
        return "make a process in the namespaces of the host"

    def to_json(self) -> dict[str, Any]:
        """Lists of steps by phase; see `from_json`."""
        phases = {name: [step.to_json() for step in steps] for name, steps in self.phases()}
        return {"namespaces": list(self.namespaces), "pid_namespace_of": self.pid_namespace_of, **phases}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        """The reverse of `to_json`. Raises KeyError for a kind of step that is not known here."""
        phases = {
            name: tuple(step_from_json(step) for step in data[name])
            for name in ("before", "beside", "inside", "after")
        }
        return cls(namespaces=tuple(data["namespaces"]), pid_namespace_of=data["pid_namespace_of"], **phases)
