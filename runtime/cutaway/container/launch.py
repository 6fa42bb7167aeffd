"""One start, from the plan to the running program, without ever making the keeper wait.

    keeper                                        child
    before steps
    clone  ------------------------------------>  steps
    beside steps                                  …
    write "beside" --------------------------->   AwaitKeeper
    (serves others meanwhile)  <--- report pipe   one line for each step
    end of the report pipe: done                  execve closes it

When anything fails, the child is killed, the after steps run, and nothing is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from cutaway.container import child
from cutaway.container.packets import receive_fds
from cutaway.container.plan import Plan
from cutaway.container.reactor import READ, Reactor
from cutaway.container.steps import BESIDE, KEEPER
from cutaway.linux.kernel import Kernel
from cutaway.linux.namespaces import FLAGS
from cutaway.linux.step import Context, Step

LONGEST_FIELD = 120  # in a trace; a seccomp program is longer and says nothing to people


class Launch:
    """A start that is under way. `done(launch)` is called once; then `failure` is set or `pid` runs."""

    def __init__(
        self,
        reactor: Reactor,
        kernel: Kernel,
        plan: Plan,
        *,
        terminal: bool,
        stdin: bool,
        done: Callable[[Launch], None],
    ) -> None:
        self.pid = 0
        self.failure: dict[str, Any] | None = None
        self.terminal = -1
        self.pipes: tuple[int | None, int, int] = (None, -1, -1)
        self.trace: list[dict[str, Any]] = []
        self._reactor, self._kernel, self._plan, self._done = reactor, kernel, plan, done
        self._wants_terminal, self._wants_stdin = terminal, stdin
        self._begun = time.monotonic()
        self._lines = b""
        self._report = -1
        self._home: socket.socket | None = None

    def begin(self) -> None:
        """Everything up to the point where the child is on its own."""
        context = Context(self._kernel)
        try:
            self._run("before", self._plan.before, context)
            beside = self._clone()
            context.pid = self.pid
            try:
                self._run("beside", self._plan.beside, context)
                with contextlib.suppress(BrokenPipeError):  # a plan that waits for nothing may be through
                    os.write(beside, b"\n")
            finally:
                os.close(beside)
        except _FailedError:
            self._give_up()
        except Exception as error:  # no child may be left that nobody waits for
            self.failure = child.error_to_json(error, None)
            self._give_up()
        else:
            self._reactor.watch(self._report, READ, self._read_report)

    def _run(self, phase: str, steps: Sequence[Step], context: Context) -> None:
        for step in steps:
            started = time.monotonic()
            try:
                step.execute(context)
            except Exception as error:
                self.failure = child.error_to_json(error, step)
                self._note(phase, step, started, time.monotonic(), self.failure["message"])
                raise _FailedError from error
            self._note(phase, step, started, time.monotonic(), "ok")

    def _clone(self) -> int:
        """Make the child. Returns the end of the pipe that tells it to go on."""
        report_in, report_out = os.pipe2(os.O_CLOEXEC)
        beside_in, beside_out = os.pipe2(os.O_CLOEXEC)
        home, away = socket.socketpair()
        theirs, self.pipes = self._make_pipes()
        started = time.monotonic()
        try:
            self.pid = self._in_pid_namespace(lambda: self._kernel.clone(self._plan.clone_flags))
            if self.pid == 0:
                fds = {BESIDE: beside_in, KEEPER: away.fileno()}
                child.become(self._kernel, self._plan.inside, theirs, fds, report_out, self._begun)
            self._note("clone", None, started, time.monotonic(), "ok")
        except OSError as error:
            self.failure = child.error_to_json(error, None)
            self.failure["message"] = (
                f"cannot {self._plan.describe_clone()}: {(error.strerror or '').lower()}"
            )
            os.close(beside_out)
            raise _FailedError from error
        finally:
            away.close()
            for fd in {report_out, beside_in, *theirs} - {0}:
                os.close(fd)
            os.set_blocking(report_in, False)
            self._report, self._home = report_in, home
        return beside_out

    def _make_pipes(self) -> tuple[tuple[int, int, int], tuple[int | None, int, int]]:
        """The child's three ends and ours. Descriptor 0 of the keeper is /dev/null."""
        if self._wants_terminal:
            return (0, 0, 0), (None, -1, -1)
        stdin_child, stdin = os.pipe2(os.O_CLOEXEC) if self._wants_stdin else (0, None)
        stdout, stdout_child = os.pipe2(os.O_CLOEXEC)
        stderr, stderr_child = os.pipe2(os.O_CLOEXEC)
        return (stdin_child, stdout_child, stderr_child), (stdin, stdout, stderr)

    def _in_pid_namespace(self, clone: Callable[[], int]) -> int:
        """Children are born into the pid namespace that setns(2) chose; ours stays, and is chosen again
        after.
        """
        if not self._plan.pid_namespace_of:
            return clone()
        home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        try:
            there = os.open(f"/proc/{self._plan.pid_namespace_of}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._kernel.setns(there, FLAGS["pid"])
            finally:
                os.close(there)
            try:
                pid = clone()
            except OSError:
                self._kernel.setns(home, FLAGS["pid"])
                raise
            if pid:
                self._kernel.setns(home, FLAGS["pid"])
            return pid
        finally:
            os.close(home)

    def _read_report(self, _events: int) -> None:
        try:
            data = os.read(self._report, 65536)
        except BlockingIOError:
            return
        self._lines += data
        if not data:
            self._conclude()

    def _conclude(self) -> None:
        """The report is complete: the program runs, or the child has told why not, or it was killed."""
        ended = time.monotonic()
        last = -1
        for line in self._lines.splitlines():
            if line.startswith(b"{"):
                self.failure = json.loads(line)
                failed = self._plan.inside[self.failure["number"]]
                self._note("inside", failed, self._after_last(), ended, self.failure["message"])
                break
            last, offset, took = map(int, line.split())
            started = self._begun + offset / 1e6
            self._note("inside", self._plan.inside[last], started, started + took / 1e6, "ok")
        if self.failure is None and last != len(self._plan.inside) - 2:
            reason = "the process ended while it was being prepared"
            self.failure = {"message": reason, "hint": "", "type": "StepError", "step": "", "errno": 0}
        if self.failure:
            self._give_up()
            return
        self._note("inside", self._plan.inside[-1], self._after_last(), ended, "ok")
        if self._wants_terminal and self._home:
            _, fds = receive_fds(self._home, 64)
            self.terminal = fds[0]
        self._close()
        self._done(self)

    def _give_up(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        for fd in self.pipes:
            if fd is not None and fd >= 0:
                os.close(fd)
        self.undo()
        self._close()
        self._done(self)

    def undo(self) -> None:
        """Run the after steps. What cannot be undone is noted in the trace and does not stop the others."""
        context = Context(self._kernel)
        for step in self._plan.after:
            started, result = time.monotonic(), "ok"
            try:
                step.execute(context)
            except Exception as error:
                result = child.error_to_json(error, step)["message"]
            self._note("after", step, started, time.monotonic(), result)

    def _close(self) -> None:
        if self._home:
            self._reactor.forget(self._report)
            os.close(self._report)
            self._home.close()

    def _after_last(self) -> float:
        last = self.trace[-1]
        return float(self._begun + (last["offset_us"] + last["us"]) / 1e6)

    def _note(self, phase: str, step: Step | None, started: float, ended: float, result: str) -> None:
        self.trace.append(
            {
                "phase": phase,
                "step": type(step).__name__ if step else "Clone",
                "text": step.describe() if step else self._plan.describe_clone(),
                "fields": _short_fields(step) if step else {"namespaces": list(self._plan.namespaces)},
                "offset_us": round((started - self._begun) * 1e6),
                "us": round((ended - started) * 1e6),
                "result": result,
            }
        )


class _FailedError(Exception):
    """A step of the keeper's side failed; `Launch.failure` says how."""


def _short_fields(step: Step) -> dict[str, Any]:
    fields = step.to_json()
    del fields["step"]
    return {
        name: value[:LONGEST_FIELD] + "…" if isinstance(value, str) and len(value) > LONGEST_FIELD else value
        for name, value in fields.items()
    }
