"""A step: one thing that is asked of the kernel, as a value.

Whatever touches the kernel is a small frozen dataclass with `describe()` (a sentence for people) and
`execute()` (the system calls). A container is a list of steps. The same list is what runs, what
`cutaway explain run …` prints without running, what the views replay and what tests assert on.

A step travels from the engine to the keeper as JSON: its class name and its fields, which are therefore
strings, numbers, booleans, None, or tuples of those.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from cutaway.linux.kernel import Kernel


@dataclasses.dataclass(slots=True)
class Context:
    """What steps hand to later steps while a plan runs.

    The kernel, the child's pid, open descriptors by name.
    """

    kernel: Kernel
    pid: int = 0
    fds: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One request to the kernel. Subclasses register themselves under their class name."""

    kinds: ClassVar[dict[str, type[Step]]] = {}

    def __init_subclass__(cls) -> None:
        # dataclass(slots=True) makes each class twice; the second one, which is the real one, wins.
        Step.kinds[cls.__name__] = cls

    def describe(self) -> str:
        """One line for people: what is done to what, lower case, e.g. `mount proc on /proc`."""
        raise NotImplementedError

    def execute(self, context: Context) -> None:
        """Ask the kernel. Raises OSError when the kernel refuses."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """`{"step": "MountProc", "target": "/proc", …}`."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"step": type(self).__name__, **fields}


def step_from_json(data: dict[str, Any]) -> Step:
    """Build the step that `to_json` wrote. Raises KeyError for an unknown kind."""
    fields = {name: _tuples(value) for name, value in data.items() if name != "step"}
    return Step.kinds[data["step"]](**fields)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
