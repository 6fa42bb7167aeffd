"""The parts put together: one engine on one root folder.

Nothing is decided here. Each part gets the parts that it stands on, in the order of the imports: state and
content, layers and images, the network, the keeper that forks, the containers, the builder. `start` wakes
them in that order and takes over what an earlier engine left; `stop` lets go of them in reverse, and leaves
containers running.

The builder knows nothing of containers: it asks for a command to be run over some layers. `run_step` answers
that with a quiet container, which no listing shows.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
from collections.abc import Awaitable, Callable

import msgspec

from cutaway.bootstrap.hello import ensure_hello_world
from cutaway.build.executor import Builder
from cutaway.build.options import RunRequest, RunResult
from cutaway.container import attaching
from cutaway.container.committing import Committing
from cutaway.container.frames import frames
from cutaway.container.keeper_client import KeeperClient
from cutaway.container.lifecycle import Containers
from cutaway.container.looking import Looking
from cutaway.container.moving import Moving
from cutaway.container.rootview import RootView
from cutaway.container.spec import CreateBody
from cutaway.container.stats import Statistics
from cutaway.container.talking import Talking
from cutaway.container.updating import Updating
from cutaway.events import EventLog
from cutaway.layer.layers import Layers
from cutaway.network.manager import Network
from cutaway.settings import Settings
from cutaway.store.content import ContentStore
from cutaway.store.database import Database
from cutaway.store.images import Images

log = logging.getLogger(__name__)


class Engine:
    """Everything that the API needs, as attributes. Made and used within one event loop."""

    def __init__(self, settings: Settings) -> None:
        make_folders(settings)
        self.settings = settings
        self.events = EventLog()
        self.database = Database(settings.database)
        self.content = ContentStore(settings.content)
        self.layers = Layers(settings.layers, self.content)
        self.images = Images(
            self.database, self.content, self.layers, lambda image_id: self.containers.uses(image_id)
        )
        self.network = Network(settings, self.database)
        self.keeper = KeeperClient(settings.keeper_socket, settings.keeper_log)
        self.containers = Containers(
            settings, self.database, self.keeper, self.images, self.layers, self.network, self.events
        )
        self.looking = Looking(settings, self.containers, self.images, self.layers)
        self.talking = Talking(settings, self.containers)
        self.moving = Moving(RootView(settings, self.layers), self.containers.preparation)
        self.updating = Updating(self.containers)
        self.stats = Statistics(settings, self.containers)
        self.committing = Committing(settings, self.containers, self.images, self.layers)
        self.builder = Builder(
            self.images, self.layers, self.database, self.run_step, settings.tmp, settings.cache
        )

    async def start(self) -> None:
        """Get ready to answer: wake the keeper, take over the containers that are already there."""
        await self.containers.take_over()
        await asyncio.to_thread(self.images.collect_garbage)  # what a killed engine was in the middle of
        await asyncio.to_thread(ensure_hello_world, self.images, self.layers)

    async def stop(self) -> None:
        """Let go of everything. Containers that run go on."""
        self.events.close()
        await self.containers.close()
        await self.network.stop()
        self.images.close()
        self.database.close()

    async def run_step(
        self,
        request: RunRequest,
        started: Callable[[str], Awaitable[None]],
        output: Callable[[bytes], Awaitable[None]],
    ) -> RunResult:
        """Run one RUN of a build in a container of its own; see `build.options.Run`."""
        container_id, _ = await self.containers.create("", step_body(request), quiet=True)

        async def discard() -> None:
            await self.containers.remove(container_id, force=True, volumes=True)

        try:
            await started(container_id)
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    await self.talking.attach(container_id, theirs, attaching.Wanted())
                code = await self._watch(container_id, ours, output)
        except BaseException:
            await asyncio.shield(discard())
            raise
        return RunResult(code, self.settings.container(container_id) / "upper", discard)

    async def _watch(
        self, container_id: str, stream: socket.socket, output: Callable[[bytes], Awaitable[None]]
    ) -> int:
        ended = asyncio.ensure_future(self.containers.wait(container_id, "next-exit"))
        try:
            await asyncio.sleep(0)  # now it waits
            await self.containers.start(container_id)
            async for data in frames(stream):
                await output(data)
            return await ended
        finally:
            ended.cancel()


def step_body(request: RunRequest) -> CreateBody:
    """The container that a RUN is executed in, in the words of Docker's create request."""
    host = {**request.limits, "NetworkMode": request.network or "default", "LogConfig": {"Type": "none"}}
    body = {
        "Image": request.image,
        "Entrypoint": [""],  # the image's own does not count
        "Cmd": list(request.argv),
        "Env": list(request.environment),
        "User": request.user,
        "WorkingDir": request.working_dir,
        "Labels": dict(request.labels),
        "HostConfig": host,
    }
    return msgspec.convert(body, CreateBody)


def make_folders(settings: Settings) -> None:
    """Make the folders below the root and throw away what was half made when an earlier engine died."""
    shutil.rmtree(settings.tmp, ignore_errors=True)
    for folder in (settings.content, settings.layers, settings.containers, settings.cache, settings.tmp):
        folder.mkdir(mode=0o700, exist_ok=True)
