"""The keeper: the only process that makes containers, and the parent of them all.

It is small, has one thread, and is started once: a process of one thread may make namespaces of every kind, a
small one is copied fast, and a parent learns exit codes. The engine is none of that; it may be restarted or
killed, and the keeper goes on holding the containers' input and output, their logs and their exit codes.

Engines connect to a socket and send packets (`packets`); each has an `op` and a `seq` that the answer
repeats:

    start   id plan tty stdin stdin_once log exit trace   -> pid start_time
    exec    id exec_id plan tty stdin trace                -> pid start_time
    attach  id | exec_id, streams tty stdin detach_keys held, one descriptor   -> attachment written
    release attachment        let the output go that was held while the log was replayed
    signal  id | exec_id, signal
    resize  id | exec_id, rows columns
    list    -> processes      hello -> pid version      forget id      quit

An answer is `{"seq": …, "ok": true, …}` or `{"seq": …, "error": {…}}`. Every engine hears `{"event": "exit",
…}` and `{"event": "detach", …}`. The keeper ends when no engine is connected and no process is left.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from cutaway import __version__
from cutaway.container import packets
from cutaway.container import steps as _steps  # noqa: F401 - registers the kinds of steps
from cutaway.container.attachment import Attachment
from cutaway.container.launch import Launch
from cutaway.container.logfile import LogFile
from cutaway.container.plan import Plan
from cutaway.container.process import Process, exit_code, start_time, write_exit, write_trace
from cutaway.container.reactor import GONE, READ, WRITE, Reactor
from cutaway.container.stdio import Stdio
from cutaway.linux import steps as _kernel_steps  # noqa: F401
from cutaway.linux.cgroups import Cgroup, RemoveCgroup
from cutaway.linux.hierarchies import hierarchies
from cutaway.linux.kernel import Kernel

GRACE_SECONDS = 2.0


class Engine:
    """One connected engine and the packets that it has not read yet."""

    def __init__(self, reactor: Reactor, connection: socket.socket) -> None:
        self.connection, self._reactor = connection, reactor
        self.receive: Callable[[int], None] = lambda _events: None
        self._waiting: collections.deque[dict[str, Any]] = collections.deque()

    def send(self, packet: dict[str, Any]) -> None:
        """Queue and send; a slow engine never makes the keeper wait."""
        self._waiting.append(packet)
        self.flush()

    def flush(self) -> None:
        """Send what the socket takes."""
        while self._waiting:
            try:
                packets.send(self.connection, self._waiting[0])
            except BlockingIOError:
                break
            except OSError:
                self._waiting.clear()
                break
            self._waiting.popleft()
        mask = READ | (WRITE if self._waiting else 0)
        self._reactor.watch(self.connection.fileno(), mask, self.receive)


class RefusedError(Exception):
    """A request that cannot be met, with the class of the error that the engine shall raise."""

    def __init__(self, message: str, kind: str = "ConflictError") -> None:
        super().__init__(message)
        self.kind = kind


class Keeper:
    """The processes, the engines, and what they ask for."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._reactor = Reactor()
        self._kernel = Kernel()
        self._engines: dict[int, Engine] = {}
        self._processes: dict[str, Process] = {}
        self._by_pid: dict[int, Process] = {}
        self._starting: set[str] = set()
        self._early: dict[str, list[Attachment]] = {}
        self._attachments: dict[int, Attachment] = {}
        self._numbers = 0

    def serve(self, ready: Callable[[], None]) -> None:
        """Listen, call `ready`, and serve until nobody is left."""
        self._listener = packets.listen(self._path)
        self._reactor.watch(self._listener.fileno(), READ, self._accept)
        self._reactor.watch_signals(signal.SIGCHLD, callback=self._reap)
        self._reactor.later(GRACE_SECONDS, self._end_when_idle)
        ready()
        self._reactor.run()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)  # noqa: PTH108 - the keeper does without pathlib

    # Engines

    def _accept(self, _events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            packets.enlarge(connection)
            engine = Engine(self._reactor, connection)
            engine.receive = lambda events: self._receive(engine, events)
            self._engines[connection.fileno()] = engine
            self._reactor.watch(connection.fileno(), READ, engine.receive)

    def _receive(self, engine: Engine, events: int) -> None:
        if events & WRITE:
            engine.flush()
        if not events & (READ | GONE):
            return
        try:
            packet, fds = packets.receive(engine.connection)
        except BlockingIOError:
            return
        except OSError:
            packet, fds = None, []
        if packet is None:
            del self._engines[engine.connection.fileno()]
            self._reactor.forget(engine.connection.fileno())
            engine.connection.close()
            self._reactor.later(0.2, self._end_when_idle)
            return
        self._obey(engine, packet, fds)

    def _obey(self, engine: Engine, packet: dict[str, Any], fds: list[int]) -> None:
        def answer(**fields: Any) -> None:
            engine.send({"seq": packet.get("seq"), **fields})

        try:
            operation = getattr(self, f"_op_{packet.get('op')}", None)
            if operation is None:
                raise RefusedError(f"the keeper knows no operation {packet.get('op')!r}", "BadInputError")
            operation(packet, fds, answer)
        except RefusedError as refusal:
            answer(error={"message": str(refusal), "hint": "", "type": refusal.kind, "step": "", "errno": 0})
        except Exception as error:  # one bad request must not end all containers
            print(f"{packet.get('op')}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201
            text = f"the keeper could not {packet.get('op')}: {type(error).__name__}: {error}"
            answer(
                error={
                    "message": text,
                    "hint": "see keeper.log",
                    "type": "CutawayError",
                    "step": "",
                    "errno": 0,
                }
            )
        finally:
            for fd in fds:
                os.close(fd)

    def _tell(self, **event: Any) -> None:
        for engine in tuple(self._engines.values()):
            engine.send(event)

    def _end_when_idle(self) -> None:
        if not self._engines and not self._processes and not self._starting:
            self._reactor.stop()

    # Operations

    def _op_hello(self, _packet: dict[str, Any], _fds: list[int], answer: Callable[..., None]) -> None:
        answer(ok=True, pid=os.getpid(), version=__version__)

    def _op_list(self, _packet: dict[str, Any], _fds: list[int], answer: Callable[..., None]) -> None:
        answer(ok=True, processes=[process.about() for process in self._processes.values()])

    def _op_quit(self, _packet: dict[str, Any], _fds: list[int], answer: Callable[..., None]) -> None:
        if self._processes or self._starting:
            raise RefusedError("the keeper still keeps processes")
        answer(ok=True)
        self._reactor.stop()

    def _op_start(self, packet: dict[str, Any], _fds: list[int], answer: Callable[..., None]) -> None:
        log = LogFile(**packet["log"]) if packet.get("log") else None
        self._start(packet, packet["id"], log, answer, close_input=bool(packet.get("stdin_once")))

    def _op_exec(self, packet: dict[str, Any], _fds: list[int], answer: Callable[..., None]) -> None:
        if packet["id"] not in self._processes:
            raise RefusedError(f"container {packet['id']} is not running")
        self._start(packet, packet["exec_id"], None, answer, close_input=True)

    def _start(
        self,
        packet: dict[str, Any],
        key: str,
        log: LogFile | None,
        answer: Callable[..., None],
        *,
        close_input: bool,
    ) -> None:
        if key in self._processes or key in self._starting:
            raise RefusedError(f"{key} is running already")
        plan = Plan.from_json(packet["plan"])

        def concluded(launch: Launch) -> None:
            self._starting.discard(key)
            if launch.failure:
                answer(error=launch.failure)  # before the streams end: see `process`
                self._start_failed(process, launch.failure["message"])
            else:
                self._started(process)
                answer(ok=True, pid=process.pid, start_time=process.start_time, started=process.started_ns)
            if process.trace_path:
                write_trace(process.trace_path, launch)  # behind the answer, which somebody waits for
            self._reap()  # it may have ended before it was known here, and its signal has passed

        launch = Launch(
            self._reactor,
            self._kernel,
            plan,
            terminal=bool(packet.get("tty")),
            stdin=bool(packet.get("stdin")),
            done=concluded,
        )
        stdio = Stdio(
            self._reactor,
            log,
            close_input_with_client=close_input,
            detached=lambda: self._tell(event="detach", id=key),
        )
        process = Process(
            key, packet["id"], launch, stdio, packet.get("exit", ""), packet.get("trace", ""), _cgroup(plan)
        )
        self._starting.add(key)
        launch.begin()

    def _started(self, process: Process) -> None:
        launch = process.launch
        process.pid, process.started_ns = launch.pid, time.time_ns()
        process.start_time = start_time(process.pid)
        self._processes[process.key] = self._by_pid[process.pid] = process
        if launch.terminal >= 0:
            process.stdio.use_terminal(launch.terminal)
        else:
            process.stdio.use_pipes(*launch.pipes)
        for attachment in self._early.pop(process.key, ()):
            process.stdio.attach(attachment)

    def _start_failed(self, process: Process, reason: str) -> None:
        process.stdio.finish()
        process.stdio.let_go()
        for attachment in self._early.pop(process.key, ()):
            if process.is_exec:  # its request was answered long ago: only the stream can still tell
                attachment.send("stderr", f"{reason}\r\n".encode())
            attachment.finish()

    def _op_attach(self, packet: dict[str, Any], fds: list[int], answer: Callable[..., None]) -> None:
        key = packet.get("exec_id") or packet["id"]
        attachment = Attachment(
            self._reactor,
            socket.socket(fileno=fds.pop(0)),
            streams=frozenset(packet.get("streams", ("stdout", "stderr"))),
            framed=not packet.get("tty"),
            takes_input=bool(packet.get("stdin")),
            detach_keys=bytes(packet.get("detach_keys") or ()),
            held=bool(packet.get("held")),
            early=packet.get("early", "").encode("latin-1"),
        )
        self._numbers += 1
        self._attachments = {n: a for n, a in self._attachments.items() if not a.closed}
        self._attachments[self._numbers] = attachment
        process = self._processes.get(key)
        answer(ok=True, attachment=self._numbers, written=process.stdio.written() if process else None)
        if process:
            process.stdio.attach(attachment)
        else:
            self._early.setdefault(key, []).append(attachment)

    def _op_release(self, packet: dict[str, Any], _fds: list[int], answer: Callable[..., None]) -> None:
        attachment = self._attachments.get(packet["attachment"])
        if attachment and not attachment.closed:
            attachment.release()
        answer(ok=True)

    def _op_signal(self, packet: dict[str, Any], _fds: list[int], answer: Callable[..., None]) -> None:
        os.kill(self._running(packet).pid, packet["signal"])  # not reaped yet, so the pid is still its own
        answer(ok=True)

    def _op_resize(self, packet: dict[str, Any], _fds: list[int], answer: Callable[..., None]) -> None:
        self._running(packet).stdio.resize(packet["rows"], packet["columns"])
        answer(ok=True)

    def _op_forget(self, packet: dict[str, Any], _fds: list[int], answer: Callable[..., None]) -> None:
        for attachment in self._early.pop(packet["id"], ()):
            attachment.finish()
        answer(ok=True)

    def _running(self, packet: dict[str, Any]) -> Process:
        key = packet.get("exec_id") or packet["id"]
        process = self._processes.get(key)
        if process is None:
            raise RefusedError(f"container {key} is not running")
        return process

    # The end of processes

    def _reap(self) -> None:
        """Collect every child that has ended.

        One that ends while it is being prepared is the launch's own matter.
        """
        for pid, process in tuple(self._by_pid.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._by_pid[pid]
                self._ended(process, exit_code(status))

    def _ended(self, process: Process, code: int) -> None:
        finished = time.time_ns()
        process.stdio.finish()
        del self._processes[process.key]
        oom = process.cgroup is not None and process.cgroup.oom_kills() > 0
        if process.exit_path:
            write_exit(process.exit_path, code, oom=oom, finished_ns=finished)
        process.launch.undo()
        about = process.about() | {"code": code, "oom": oom, "time": finished}
        self._tell(event="exit", **about)
        process.stdio.let_go()
        self._reactor.later(0.2, self._end_when_idle)


def _cgroup(plan: Plan) -> Cgroup | None:
    """The group that goes with the process: the one that its plan removes."""
    for step in plan.after:
        if isinstance(step, RemoveCgroup):
            return Cgroup(step.parent, step.name)
    return None


def _default_signals() -> None:
    """Forget what the shell that started the engine ignores: a container would inherit it, signal(7)."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def main(path: str, ready_fd: int = -1) -> None:
    """Be the keeper at socket `path`; a byte on `ready_fd` says when it listens."""
    _default_signals()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)

    def ready() -> None:
        if ready_fd >= 0:
            os.write(ready_fd, b"\n")
            os.close(ready_fd)

    keeper = Keeper(path)
    keeper._kernel.set_name("cutaway-keeper")
    hierarchies()  # looked up once, and known to every child
    gc.collect()
    gc.freeze()  # what is alive now stays: children then share its pages for longer
    keeper.serve(ready)
