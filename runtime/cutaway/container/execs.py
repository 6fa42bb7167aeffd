"""One more process in a running container: asked for first, started then, looked at afterwards.

Docker makes an exec in two requests, so that the connection of the second can become the process's input and
output. The keeper is the process's parent like the container's own, so its exit code is known, too.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from typing import Any

import msgspec

from cutaway.container.attaching import detach_keys
from cutaway.container.keeper_client import KeeperClient
from cutaway.container.naming import new_id
from cutaway.container.planner import ExecRequest
from cutaway.container.preparation import Preparation
from cutaway.container.records import PAUSED, RESTARTING, Record
from cutaway.container.shelf import Kept, Shelf
from cutaway.container.spec import Body, Nullable, words
from cutaway.errors import BadInputError, ConflictError, CutawayError, NotFoundError
from cutaway.events import EventLog

REMEMBERED = 1000
KILLED = 137  # 128 and SIGKILL


class ExecBody(Body):
    """The body of `POST /containers/{id}/exec`."""

    cmd: list[str] | str | None = None
    env: Nullable[list[str]] = msgspec.field(default_factory=list)
    user: Nullable[str] = ""
    working_dir: Nullable[str] = ""
    privileged: Nullable[bool] = False
    tty: Nullable[bool] = False
    attach_stdin: Nullable[bool] = False
    attach_stdout: Nullable[bool] = False
    attach_stderr: Nullable[bool] = False
    detach_keys: Nullable[str] = ""
    console_size: Nullable[list[int]] = msgspec.field(default_factory=list)


@dataclasses.dataclass(eq=False)
class Exec:
    """What is known of it. `code` is None until it has ended."""

    id: str
    container: Kept
    body: ExecBody
    running: bool = False
    started: bool = False
    pid: int = 0
    code: int | None = None
    over: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)


class Execs:
    """The execs of one engine; forgotten with their container, or when a thousand newer ones have ended."""

    def __init__(
        self, shelf: Shelf, keeper: KeeperClient, preparation: Preparation, events: EventLog
    ) -> None:
        self._shelf, self._keeper, self._preparation, self._events = shelf, keeper, preparation, events
        self._execs: dict[str, Exec] = {}

    def create(self, container: str, body: ExecBody) -> str:
        """Ask for a process; returns the exec's id. Raises ConflictError when the container does not run."""
        kept = self._shelf.find(container)
        _check_running(kept.record)
        if not words(body.cmd) or not words(body.cmd)[0]:
            raise BadInputError("No exec command specified", "give a command behind the container's name")
        if body.working_dir and not body.working_dir.startswith("/"):
            raise BadInputError(f"Cwd must be an absolute path: {body.working_dir}", "begin it with a slash")
        self._preparation.user(
            kept.record, body.user or kept.record.config.user
        )  # an unknown one is told now
        detach_keys(body.detach_keys)
        execution = Exec(new_id(), kept, body)
        self._execs[execution.id] = execution
        self._forget_old()
        self._emit("exec_create", execution)
        return execution.id

    def find(self, exec_id: str) -> Exec:
        """By the whole id. Raises NotFoundError."""
        execution = self._execs.get(exec_id)
        if execution is None:
            raise NotFoundError(f"No such exec instance: {exec_id}", "its container may be gone")
        return execution

    def check(self, exec_id: str) -> Exec:
        """That it can be started now. Raises NotFoundError, ConflictError."""
        execution = self.find(exec_id)
        if execution.started:
            raise ConflictError(f"exec {exec_id} has already run", "create another")
        _check_running(execution.container.record)
        return execution

    async def start(
        self,
        exec_id: str,
        connection: socket.socket | None = None,
        *,
        console_size: Any = None,
        early: bytes = b"",
    ) -> None:
        """Start it; without a connection nobody reads its output.

        The caller closes its copy of the connection.

        Raises CommandNotFoundError and the like when the program cannot be started; `inspect` then says 127
        or 126.
        """
        execution = self.check(exec_id)
        execution.started = True
        record, body = execution.container.record, execution.body
        if connection is not None:
            await self._attach(execution, connection, early)
        rows, columns = (*(console_size or body.console_size or ()), 0, 0)[:2]
        request = ExecRequest(
            tuple(words(body.cmd)),
            tuple(body.env),
            body.working_dir,
            body.tty,
            body.privileged,
            rows,
            columns,
        )
        try:
            plan = self._preparation.plan_exec(record, request, body.user)
            execution.running = True
            answer = await self._keeper.exec(
                record.id,
                exec_id,
                plan.to_json(),
                tty=body.tty,
                stdin=body.attach_stdin and connection is not None,
            )
        except CutawayError as error:
            execution.running, execution.code = (
                False,
                error.exit_code if error.exit_code in (126, 127) else 128,
            )
            execution.over.set()
            await self._keeper.request("forget", id=exec_id)
            raise
        execution.pid = answer["pid"]
        self._emit("exec_start", execution)

    async def _attach(self, execution: Exec, connection: socket.socket, early: bytes) -> None:
        body = execution.body
        streams = [
            name for name, on in (("stdout", body.attach_stdout), ("stderr", body.attach_stderr)) if on
        ]
        await self._keeper.attach(
            connection,
            id=execution.container.record.id,
            exec_id=execution.id,
            streams=["stdout", "stderr"] if body.tty else streams,
            tty=body.tty,
            stdin=body.attach_stdin,
            detach_keys=list(detach_keys(body.detach_keys)) if body.tty else [],
            early=early.decode("latin-1"),
        )

    async def resize(self, exec_id: str, rows: int, columns: int) -> None:
        """Tell its terminal the size. Raises NotFoundError, ConflictError."""
        execution = self.find(exec_id)
        if not execution.running:
            raise ConflictError(f"exec {exec_id} is not running")
        container = execution.container.record.id
        await self._keeper.request("resize", id=container, exec_id=exec_id, rows=rows, columns=columns)

    async def wait(self, exec_id: str) -> int:
        """The exit code, when it has ended. Raises NotFoundError."""
        execution = self.find(exec_id)
        await execution.over.wait()
        return execution.code if execution.code is not None else KILLED

    def inspect(self, exec_id: str) -> dict[str, Any]:
        """Docker's JSON of `GET /exec/{id}/json`."""
        execution = self.find(exec_id)
        body, argv = execution.body, words(execution.body.cmd)
        return {
            "ID": exec_id,
            "ContainerID": execution.container.record.id,
            "Running": execution.running,
            "ExitCode": execution.code,
            "Pid": execution.pid,
            "CanRemove": False,
            "DetachKeys": body.detach_keys,
            "OpenStdin": body.attach_stdin,
            "OpenStdout": body.attach_stdout,
            "OpenStderr": body.attach_stderr,
            "ProcessConfig": {
                "entrypoint": argv[0],
                "arguments": argv[1:],
                "tty": body.tty,
                "privileged": body.privileged,
                "user": body.user,
            },
        }

    def ids(self, container_id: str) -> list[str] | None:
        """Those that run in a container: `ExecIDs` of its inspect."""
        found = [e.id for e in self._execs.values() if e.running and e.container.record.id == container_id]
        return found or None

    def ended(self, event: dict[str, Any]) -> None:
        """The keeper says that one has ended."""
        execution = self._execs.get(event["exec_id"])
        if execution is not None:
            execution.running, execution.code, execution.started = False, event["code"], True
            execution.over.set()
            self._emit("exec_die", execution, exitCode=str(event["code"]))

    def all_ended(self) -> None:
        """The keeper is gone and every process with it."""
        for execution in self._execs.values():
            if execution.running:
                execution.running, execution.code = False, KILLED
                execution.over.set()

    def forget(self, container_id: str) -> None:
        """The container is gone."""
        for exec_id in [e.id for e in self._execs.values() if e.container.record.id == container_id]:
            del self._execs[exec_id]

    def _forget_old(self) -> None:
        if len(self._execs) > REMEMBERED:
            oldest = next((e.id for e in self._execs.values() if e.code is not None), None)
            if oldest:
                del self._execs[oldest]

    def _emit(self, action: str, execution: Exec, **more: str) -> None:
        record = execution.container.record
        if action in ("exec_create", "exec_start"):
            action = f"{action}: {' '.join(words(execution.body.cmd))}"
        self._events.emit(
            "container", action, record.id, {**record.attributes(), "execID": execution.id, **more}
        )


def _check_running(record: Record) -> None:
    if record.state.status == RESTARTING:
        raise ConflictError(f"Container {record.id} is restarting, wait until the container is running")
    if not record.state.running:
        raise ConflictError(f"container {record.id} is not running", "start it first")
    if record.state.status == PAUSED:
        raise ConflictError(f"Container {record.id} is paused, unpause the container before exec")
