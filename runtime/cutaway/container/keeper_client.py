"""The engine's end of the line to the keeper.

A request is a packet with a number; the answer repeats it, so many may be under way at once. What the keeper
says unasked (a process has ended, a client has detached itself) goes to a callback. The keeper is started
when none answers, in a session of its own, so that nothing that ends the engine ends the containers.

When the line breaks the keeper is dead, and with it every container (they ask the kernel for that): whoever
waits gets an error and `lost` is called. The next request starts a new keeper.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cutaway
from cutaway import errors
from cutaway.container import packets

START_SECONDS = 20.0

Answer = dict[str, Any]


class KeeperClient:
    """One engine's connection to the keeper at a socket. To be used from one event loop."""

    def __init__(
        self,
        path: Path,
        log: Path,
        *,
        on_event: Callable[[Answer], None] = lambda _event: None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.on_event, self.on_lost = on_event, on_lost
        self.pid = 0
        self._path, self._log = str(path), log
        self._connection: socket.socket | None = None
        self._connecting = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._numbers = itertools.count(1)
        self._child: subprocess.Popen[bytes] | None = None

    async def connect(self) -> None:
        """Make sure that there is a keeper and a line to it.

        Raises EngineUnavailableError when it does not start.
        """
        async with self._connecting:
            if self._connection is not None:
                return
            if not await self._hello() and not (await self._spawn() and await self._hello()):
                raise errors.EngineUnavailableError(
                    f"the keeper does not answer on {self._path}", f"its own words are in {self._log}"
                )

    async def close(self) -> None:
        """Hang up. The keeper goes on if it keeps any process, else it ends a moment later."""
        self._hang_up(told=True)

    async def start(self, container_id: str, plan: Answer, **options: Any) -> Answer:
        """Start a container's first process. Options as in `keeper`. Returns pid, start_time, started."""
        return await self.request("start", id=container_id, plan=plan, **options)

    async def exec(self, container_id: str, exec_id: str, plan: Answer, **options: Any) -> Answer:
        """Start one more process in a running container. Raises ConflictError when it is not running."""
        return await self.request("exec", id=container_id, exec_id=exec_id, plan=plan, **options)

    async def attach(self, connection: socket.socket, **options: Any) -> Answer:
        """Hand a client's connection to the keeper. The caller closes its own copy."""
        return await self.request("attach", fds=[connection.fileno()], **options)

    async def signal(self, container_id: str, number: int) -> None:
        """Signal a container's first process. Raises ConflictError when it is not running."""
        await self.request("signal", id=container_id, signal=number)

    async def list(self) -> list[Answer]:
        """What runs: id, exec_id for an exec, pid, start_time, started."""
        processes: list[Answer] = (await self.request("list"))["processes"]
        return processes

    async def request(self, operation: str, *, fds: Sequence[int] = (), **fields: Any) -> Answer:
        """Ask and wait for the answer. Raises the error that the keeper reports."""
        await self.connect()
        number = next(self._numbers)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._send({"op": operation, "seq": number, **fields}, fds)
            answer = await future
        finally:
            self._waiting.pop(number, None)
        if "error" in answer:
            raise error_from_json(answer["error"])
        return answer

    async def _hello(self) -> bool:
        """Connect and greet. False when nobody is there, or somebody who was just leaving."""
        try:
            connection = packets.connect(self._path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        self._connection = connection
        asyncio.get_running_loop().add_reader(connection, self._receive)
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._send({"op": "hello", "seq": number}, ())
            self.pid = (await self._waiting[number])["pid"]
        except (errors.CutawayError, OSError):
            return False
        finally:
            self._waiting.pop(number, None)
        return True

    async def _spawn(self) -> bool:
        """Start a keeper and wait until it listens, which it says on a pipe."""
        ready_in, ready_out = os.pipe2(os.O_CLOEXEC)
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with open(self._log, "ab") as log:
                self._child = subprocess.Popen(
                    keeper_command(self._path, ready_out),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env={},
                    start_new_session=True, pass_fds=[ready_out],
                )  # fmt: skip
        finally:
            os.close(ready_out)
        said: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(ready_in, lambda: _wake(said))
        try:
            await asyncio.wait_for(said, START_SECONDS)
            if os.read(ready_in, 1):
                return True
        except TimeoutError:
            pass
        finally:
            asyncio.get_running_loop().remove_reader(ready_in)
            os.close(ready_in)
        self._child.kill()  # it ends already, or never will
        self._child.wait()
        self._child = None
        return False

    async def _send(self, packet: Answer, fds: Sequence[int]) -> None:
        async with self._sending:  # packets keep their order even when one has to wait for room
            while True:
                if self._connection is None:
                    raise errors.EngineUnavailableError("the keeper has ended", f"see {self._log}")
                try:
                    packets.send(self._connection, packet, fds)
                    return
                except BlockingIOError:
                    await _writable(self._connection)
                except (BrokenPipeError, ConnectionResetError):
                    self._hang_up()

    def _receive(self) -> None:
        while self._connection is not None:
            try:
                packet, _ = packets.receive(self._connection)
            except BlockingIOError:
                return
            except OSError:
                packet = None
            if packet is None:
                self._hang_up()
            elif "event" in packet:
                self.on_event(packet)
            else:
                future = self._waiting.get(packet["seq"])
                if future is not None and not future.done():
                    future.set_result(packet)

    def _hang_up(self, *, told: bool = False) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        asyncio.get_running_loop().remove_reader(connection)
        connection.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(
                    errors.EngineUnavailableError("the keeper has ended", f"see {self._log}")
                )
        if self._child is not None:
            if told:
                self._child.returncode = 0  # it lives on and will be init's child: nothing to wait for
            else:
                self._child.wait()
            self._child = None
        if not told:
            self.on_lost()


def keeper_command(path: str, ready_fd: int) -> list[str]:
    """The command line of a keeper: an interpreter without site packages, which starts in 20 ms."""
    package = str(Path(cutaway.__file__).parents[1])
    start = (
        "import sys; sys.path.insert(0, sys.argv[1]); from cutaway.container.keeper import main; "
        "main(sys.argv[2], int(sys.argv[3]))"
    )
    return [sys.executable, "-I", "-S", "-B", "-c", start, package, path, str(ready_fd)]


def error_from_json(data: Answer) -> errors.CutawayError:
    """The error that `child.error_to_json` wrote, as an exception of its own class."""
    if data["type"] == "StepError":
        return errors.StepError(data["message"], data["hint"], step=data["step"], errno=data["errno"])
    kind = getattr(errors, data["type"], errors.CutawayError)
    error: errors.CutawayError = kind(data["message"], data["hint"])
    return error


async def _writable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_writer(connection, lambda: _wake(future))
    try:
        await future
    finally:
        loop.remove_writer(connection)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
