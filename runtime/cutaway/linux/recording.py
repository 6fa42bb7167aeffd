"""A kernel that does nothing and writes down what it was asked: the other side of "a plan is data".

`calls(step)` runs a step against it and gives the system calls as `strace` would print them. That is what
`cutaway explain` shows, and what unit tests assert on. Methods of `Kernel` that are made of other methods are
left as they are, so that the calls below them are what is written; questions that change nothing are answered
and not written.
"""

from __future__ import annotations

import inspect
import os
import resource
import signal
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from cutaway.linux import constants
from cutaway.linux.capabilities import NAMES
from cutaway.linux.file_calls import FileCalls
from cutaway.linux.kernel import Kernel
from cutaway.linux.step import Context, Step

_CHILD = 4242

# Which constants a number's bits are looked up in: (method, parameter) or parameter.
_BITS = {
    ("mount", "flags"): ("MS_",),
    ("umount2", "flags"): ("MNT_",),
    ("clone", "flags"): ("CLONE_",),
    ("unshare", "flags"): ("CLONE_",),
    ("setns", "flags"): ("CLONE_",),
    ("open_tree", "flags"): ("OPEN_TREE_", "AT_"),
    ("move_mount", "flags"): ("MOVE_MOUNT_",),
    ("mount_setattr", "flags"): ("AT_",),
    ("mount_setattr", "attr_set"): ("MOUNT_ATTR_",),
    ("mount_setattr", "attr_clr"): ("MOUNT_ATTR_",),
    ("mount_setattr", "propagation"): ("MS_",),
    ("fsmount", "attributes"): ("MOUNT_ATTR_",),
    ("openat2", "resolve"): ("RESOLVE_",),
    ("inotify_add_watch", "mask"): ("IN_",),
}
_OPENS = (
    "open",
    "openat2",
    "open_tree",
    "fsopen",
    "fsmount",
    "pidfd_open",
    "inotify_init",
    "load_device_filter",
)
_QUESTIONS: dict[str, Callable[..., Any]] = {
    "geteuid": lambda: 0,
    "capget": lambda: ((1 << len(NAMES)) - 1, (1 << len(NAMES)) - 1, 0),
    "is_directory": lambda fd: True,
    "is_symlink": lambda path: False,
    "resolve": lambda path: path,
    "read_file": lambda path: "",
    "restore_signals": lambda: None,
}
_MADE_OF_OTHERS = (
    "drop_bounding",
    "clear_ambient",
    "keep_capabilities",
    "no_new_privileges",
    "set_parent_death_signal",
    "set_child_subreaper",
    "set_dumpable",
    "attach_device_filter",
)
_RENAMED = {
    "setrlimit": "prlimit64",
    "makedirs": "mkdir",
    "remove_tree": "rm -r ",
    "load_device_filter": "bpf",
}


class _BecameAnotherProgram(Exception):  # noqa: N818 - not an error: execve does not return
    pass


class RecordingKernel(Kernel):
    """Has every method of `Kernel`; `lines` is what was asked so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._next_fd = 3

    def netlink(self) -> RecordingChannel:
        """A line for network messages that are written down as well."""
        return RecordingChannel(self.lines)

    def bpf(self, command: int, attributes: bytes) -> int:
        """Written without the packed attributes."""
        name = "BPF_PROG_LOAD" if command == 5 else "BPF_PROG_ATTACH"
        self.lines.append(f"bpf({name}, {{{len(attributes)} bytes}}, {len(attributes)})")
        return 0

    def load_device_filter(self, program: bytes) -> int:
        """Written as what it is for."""
        kind = "BPF_PROG_TYPE_CGROUP_DEVICE"
        self.lines.append(
            f"bpf(BPF_PROG_LOAD, {{{kind}, {len(program) // 8} instructions}}) = {self._next_fd}"
        )
        return self.new_descriptor()

    def unlock_terminal(self, master: int) -> str:
        """Says that it is the first terminal."""
        self.lines += [f"ioctl({master}, TIOCSPTLCK, 0)", f"ioctl({master}, TIOCGPTN)"]
        return "/dev/pts/0"

    def execve(self, path: str, argv: tuple[str, ...], env: dict[str, str]) -> NoReturn:
        """Ends the plan, as the real one does. A name that PATH must find stands with an ellipsis."""
        shown = path if "/" in argv[0] else f"…/{argv[0]}"
        arguments = ", ".join(_quoted(argument) for argument in argv)
        self.lines.append(f"execve({_quoted(shown)}, [{arguments}], /* {len(env)} variables */)")
        raise _BecameAnotherProgram

    def new_descriptor(self) -> int:
        """The number that the next open would give."""
        self._next_fd += 1
        return self._next_fd - 1


class RecordingChannel:
    """What network steps speak to."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def send(self, messages: Sequence[Any]) -> None:
        """Each message stands in words."""
        self._lines += [f"netlink: {message.text}" for message in messages]

    def index(self, name: str) -> int:
        """Some number."""
        return 1 if name == "lo" else 2

    def close(self) -> None:
        """Nothing to hang up."""


def calls(step: Step, pid: int = _CHILD, fds: dict[str, int] | None = None) -> list[str]:
    """The system calls of one step, as text. Nothing is done. `fds` are descriptors of earlier steps."""
    kernel = RecordingKernel()
    try:
        step.execute(Context(kernel, pid, _AnyDescriptor(fds or {})))
    except _BecameAnotherProgram:
        pass
    return kernel.lines


def plan_calls(steps: Sequence[Step], pid: int = _CHILD) -> list[tuple[Step, list[str]]]:
    """The calls of each step of a plan, descriptors handed on from step to step."""
    kernel, told = RecordingKernel(), []
    context = Context(kernel, pid, _AnyDescriptor())
    for step in steps:
        kernel.lines = []
        try:
            step.execute(context)
        except _BecameAnotherProgram:
            pass
        told.append((step, kernel.lines))
    return told


class _AnyDescriptor(dict[str, int]):
    """A step shown alone may use what an earlier one opened: it is given a number."""

    def __missing__(self, key: str) -> int:
        return 3

    def pop(self, key: str, *default: Any) -> Any:
        return super().pop(key, default[0] if default else 3)


def _quoted(text: str) -> str:
    short = text if len(text) <= 400 else text[:400] + "…"
    return '"' + short.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _bits(value: int, prefixes: tuple[str, ...], module: Any = constants) -> str:
    if value == 0:
        return "0"
    names, rest = [], value
    for prefix in prefixes:
        for name, bit in vars(module).items():
            if name.startswith(prefix) and isinstance(bit, int) and bit > 0 and rest & bit == bit:
                names.append(name)
                rest &= ~bit
    return "|".join([*names, *([hex(rest)] if rest else [])])


def _shown(method: str, parameter: str, value: Any) -> str:
    if (prefixes := _BITS.get((method, parameter))) is not None:
        text = _bits(value, prefixes)
        return f"{text}|SIGCHLD" if method == "clone" else text
    if parameter == "flags" and method in ("open", "openat2"):
        access = ("O_RDONLY", "O_WRONLY", "O_RDWR")[value & 3]
        more = _bits(value & ~3 | os.O_CLOEXEC, ("O_",), os)
        return more if value & os.O_PATH else f"{access}|{more}"
    if parameter == "mode" or parameter == "mask":
        return f"0{value:o}"
    if parameter.endswith("fd") and value == constants.AT_FDCWD:
        return "AT_FDCWD"
    if method == "setrlimit" and parameter == "number":
        return _one(value, "RLIMIT_", resource)
    if parameter == "signal_number":
        return signal.Signals(value).name
    if isinstance(value, bytes):
        return (
            f"{{{len(value) // 8} instructions}}" if method == "seccomp_load" else f"{{{len(value)} bytes}}"
        )
    if isinstance(value, tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    return "NULL" if value is None else _quoted(value) if isinstance(value, str) else str(value)


def _one(value: int, prefix: str, module: Any = constants) -> str:
    return next(
        (name for name, number in vars(module).items() if name.startswith(prefix) and number == value),
        str(value),
    )


def _recorder(method: str, function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function)

    def record(self: RecordingKernel, *arguments: Any, **named: Any) -> Any:
        bound = signature.bind(self, *arguments, **named)
        values = {name: value for name, value in bound.arguments.items() if name != "self"}
        result = self.new_descriptor() if method in _OPENS else _CHILD if method == "clone" else None
        self.lines.append(_line(method, values) + (f" = {result}" if result is not None else ""))
        return 0 if method == "prctl" else result

    return record


def _line(method: str, values: dict[str, Any]) -> str:
    if method == "prctl":
        return _prctl(**values)
    if method == "seccomp_load":
        return f"seccomp(SECCOMP_SET_MODE_FILTER, 0, {_shown(method, 'program', values['program'])})"
    if method == "capset":
        return "capset(" + ", ".join(f"{name}={value:#x}" for name, value in values.items()) + ")"
    if method == "write_file":
        return f"write({_quoted(values['path'])}, {_quoted(values['text'])})"
    if method == "setrlimit":
        limits = f"{{rlim_cur={values['soft']}, rlim_max={values['hard']}}}"
        return f"prlimit64(0, {_shown(method, 'number', values['number'])}, {limits})"
    if method == "mknod":
        kind = "S_IFBLK" if values["mode"] & 0o170000 == 0o060000 else "S_IFCHR"
        numbers = f"makedev({values['major']}, {values['minor']})"
        return f"mknod({_quoted(values['path'])}, {kind}|0{values['mode'] & 0o7777:o}, {numbers})"
    arguments = ", ".join(_shown(method, name, value) for name, value in values.items())
    return f"{_RENAMED.get(method, method)}({arguments})"


def _prctl(option: int, argument2: int = 0, argument3: int = 0) -> str:
    name, rest = (
        _one(option, "PR_"),
        [str(argument2)] if argument2 or option != constants.PR_CAP_AMBIENT else [],
    )
    if option in (constants.PR_CAPBSET_DROP, constants.PR_CAPBSET_READ):
        rest = [f"CAP_{NAMES[argument2]}"]
    elif option == constants.PR_CAP_AMBIENT:
        rest = ["PR_CAP_AMBIENT_CLEAR_ALL"]
    return f"prctl({', '.join([name, *rest])})"


def _fill() -> None:
    """Give the recorder every method of `Kernel` that it does not have in its own words."""
    for name, function in {**vars(FileCalls), **vars(Kernel)}.items():
        if name.startswith("_") or name in vars(RecordingKernel) or name in _MADE_OF_OTHERS:
            continue
        answer = _QUESTIONS.get(name)
        setattr(RecordingKernel, name, _answering(answer) if answer else _recorder(name, function))


def _answering(answer: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *arguments: answer(*arguments)


_fill()
