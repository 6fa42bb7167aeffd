"""What the new process does between `clone` and `execve`: it runs the steps of its plan and tells how it
goes.

The child is a copy of the keeper, so it first lets go of everything that is not its own: descriptors of other
containers, signal handlers, the session. Then come the steps, one after the other. After each the child
writes one line to the report pipe: the step's number, when it began, how long it took (both in microseconds).
If one fails it writes what failed and ends. The pipe is closed on exec: its end without a failure means that
the program is running.
"""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any, NoReturn

from cutaway.errors import CutawayError, StepError
from cutaway.linux.kernel import Kernel
from cutaway.linux.step import Context, Step

_HANDLED = (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ)


def become(
    kernel: Kernel,
    steps: tuple[Step, ...],
    stdio: tuple[int, int, int],
    fds: dict[str, int],
    report: int,
    begun: float,
) -> NoReturn:
    """Run `steps`, the last of which is Exec.

    `begun` is the start's beginning on the monotonic clock, in seconds.
    """
    number = 0
    step: Step | None = None
    lines: list[bytes] = []
    try:
        _let_go(stdio, {report, *fds.values()})
        context = Context(kernel, pid=os.getpid(), fds=fds)
        for number, step in enumerate(steps):
            if number == len(steps) - 1:
                os.write(report, b"".join(lines))
                lines.clear()
            started = time.monotonic()
            step.execute(context)
            took = time.monotonic() - started
            lines.append(b"%d %d %d\n" % (number, (started - begun) * 1e6, took * 1e6))
    except BaseException as error:
        failure = json.dumps({"number": number, **error_to_json(error, step)})
        os.write(report, b"".join(lines) + failure.encode() + b"\n")
    finally:
        os._exit(125)


def error_to_json(error: BaseException, step: Step | None) -> dict[str, Any]:
    """What failed, as the engine shall tell it: message, hint, the error's class, the step and its errno."""
    doing = step.describe() if step else "prepare the process"
    kind = type(step).__name__ if step else ""
    if isinstance(error, CutawayError):
        number = error.errno if isinstance(error, StepError) else 0
        name = type(error).__name__
        return {"message": error.message, "hint": error.hint, "type": name, "step": kind, "errno": number}
    if isinstance(error, OSError):
        reason = (error.strerror or str(error)).lower()
        if error.filename:
            reason = f"{os.fsdecode(error.filename)}: {reason}"
        number = error.errno or 0
    else:
        reason, number = f"{type(error).__name__}: {error}", 0
    message = f"cannot {doing}: {reason}"
    return {"message": message, "hint": _hint(number), "type": "StepError", "step": kind, "errno": number}


def _hint(number: int) -> str:
    if number in (1, 13):
        return "the engine lacks the right for this; cutaway doctor tells what this machine permits"
    if number == 28:
        return "the disk is full, or the kernel allows no more of these"
    return ""


def _let_go(stdio: tuple[int, int, int], keep: set[int]) -> None:
    signal.set_wakeup_fd(-1)
    for number in _HANDLED:
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    # dup2 in two rounds, because a source may itself be one of 0, 1, 2
    copies = [os.dup(fd) for fd in stdio]
    for target, copy in enumerate(copies):
        os.dup2(copy, target)
    first = 3
    for fd in sorted(keep):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, 1 << 20)
