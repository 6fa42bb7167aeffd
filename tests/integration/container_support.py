"""The container room without HTTP: real images, keeper, network and kernel in a folder of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
from harness import janitor, leftovers

from cutaway.bootstrap import busybox
from cutaway.container.attaching import Wanted
from cutaway.container.execs import ExecBody
from cutaway.container.keeper_client import KeeperClient
from cutaway.container.lifecycle import Containers
from cutaway.container.looking import Looking
from cutaway.container.spec import CreateBody
from cutaway.container.talking import Talking
from cutaway.engine import make_folders
from cutaway.events import EventLog
from cutaway.layer.layers import Layers
from cutaway.network.manager import Network
from cutaway.settings import Settings
from cutaway.store.content import ContentStore
from cutaway.store.database import Database
from cutaway.store.images import Images

PATIENCE = 60


class Room:
    """One engine's parts, as `engine.py` puts them together. `containers` is what is tested."""

    def __init__(self, root: Path) -> None:
        self.settings = Settings(root, root / "engine.sock")
        self.events = EventLog()

    async def open(self, *, take_over: bool = True) -> Room:
        make_folders(self.settings)
        self.database = Database(self.settings.database)
        content = ContentStore(self.settings.content)
        self.layers = Layers(self.settings.layers, content)
        self.images = Images(self.database, content, self.layers)
        self.network = Network(self.settings, self.database)
        keeper = KeeperClient(self.settings.keeper_socket, self.settings.keeper_log)
        self.containers = Containers(
            self.settings, self.database, keeper, self.images, self.layers, self.network, self.events
        )
        self.looking = Looking(self.settings, self.containers, self.images, self.layers)
        self.talking = Talking(self.settings, self.containers)
        if take_over:
            await self.containers.take_over()
        return self

    async def close(self) -> None:
        """What the engine does when it is stopped."""
        await self.containers.close()
        await self.network.stop()
        self.database.close()

    async def vanish(self) -> None:
        """What a SIGKILL of the engine leaves: the line to the keeper breaks, nothing is written down."""
        self.containers.keeper._hang_up(told=True)
        self.network._reservations.close()
        self.database.close()

    def bootstrap(self) -> None:
        if not self.images.list():
            cache = Path("/var/tmp/cutaway-test-cache")
            cache.mkdir(exist_ok=True)
            busybox.make(self.images, self.layers, cache, lambda _stage, _part: None)

    async def create(
        self, *argv: str, name: str = "", host: dict[str, Any] | None = None, **config: Any
    ) -> str:
        body = {"Image": "busybox", "Cmd": list(argv) or None, "HostConfig": host or {}, **config}
        parsed = msgspec.json.decode(msgspec.json.encode(body), type=CreateBody)
        return (await self.containers.create(name, parsed))[0]

    async def start(self, *argv: str, **options: Any) -> str:
        container = await self.create(*argv, **options)
        await self.containers.start(container)
        return container

    async def run(self, *argv: str, **options: Any) -> tuple[int, str]:
        """Run to the end; the exit code and all output."""
        container = await self.create(*argv, **options)
        end = asyncio.ensure_future(self.containers.wait(container, "next-exit"))
        await asyncio.sleep(0)
        await self.containers.start(container)
        code = await asyncio.wait_for(end, PATIENCE)
        return code, await self.output(container)

    async def output(self, container: str) -> str:
        from cutaway.container.logs import Wanted as Logs

        return b"".join([data async for _, data in await self.talking.logs(container, Logs())]).decode()

    async def attach(self, container: str, **wanted: Any) -> Client:
        ours, theirs = socket.socketpair()
        with theirs:
            await self.talking.attach(container, theirs, Wanted(**wanted))
        return Client(ours)

    async def execute(self, container: str, *argv: str, **body: Any) -> tuple[int, bytes]:
        execution = self.containers.execs.create(
            container, ExecBody(cmd=list(argv), attach_stdout=True, attach_stderr=True, **body)
        )
        ours, theirs = socket.socketpair()
        with theirs:
            await self.containers.execs.start(execution, theirs)
        client = Client(ours)
        output = await (client.raw() if body.get("tty") else client.output())
        await until(lambda: not self.containers.execs.inspect(execution)["Running"])
        return self.containers.execs.inspect(execution)["ExitCode"], output


class Client:
    """The other end of a hijacked connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection

    async def send(self, data: bytes) -> None:
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(self.connection, data), PATIENCE)

    def end_input(self) -> None:
        self.connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.connection.close()

    async def receive(self) -> bytes:
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.sock_recv(self.connection, 65536), PATIENCE)

    async def raw(self) -> bytes:
        """Everything until the other side closes."""
        found = b""
        while data := await self.receive():
            found += data
        self.close()
        return found

    async def read_until(self, mark: bytes) -> bytes:
        found = b""
        while mark not in found:
            data = await self.receive()
            assert data, f"closed after {found!r}"
            found += data
        return found

    async def frames(self) -> list[tuple[int, bytes]]:
        """The multiplexed streams, taken apart."""
        data, found = await self.raw(), []
        while data:
            size = int.from_bytes(data[4:8], "big")
            found.append((data[0], data[8 : 8 + size]))
            data = data[8 + size :]
        return found

    async def output(self, stream: int | None = None) -> bytes:
        return b"".join(data for number, data in await self.frames() if stream in (None, number))


async def until(condition: Callable[[], object]) -> None:
    """Wait until something outside our reach has come true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def room() -> AsyncIterator[Room]:
    """A room with busybox; whatever happens in it, nothing of it is left, and nothing of it may be."""
    root = Path(tempfile.mkdtemp(prefix="cutaway-room-"))
    janitor().add(root)
    made = Room(root)
    try:
        await made.open()
        made.bootstrap()
        yield made
    finally:
        with contextlib.suppress(Exception):
            for kept in made.containers.shelf:
                await made.containers.remove(kept.record.id, force=True, volumes=True)
        keeper = made.containers.keeper.pid
        with contextlib.suppress(Exception):
            await made.close()
        await _gone(keeper)
        left = leftovers(made.settings.instance, root)
        shutil.rmtree(root, ignore_errors=True)
    assert left == []


async def _gone(pid: int) -> None:
    """The keeper ends by itself when nobody needs it."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, ended.set)
    try:
        await asyncio.wait_for(ended.wait(), 10)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        raise AssertionError("the keeper did not end by itself") from None
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
