"""`docker commit`: what a container changed becomes one more layer upon its image, and that a new image.

The layer holds just the difference, read from the writable layer with its marks for what was deleted. The
container is frozen meanwhile, so that no file is caught half-written. How the new image runs is the
container's own setting (its variables, command, user, …) with the asked-for changes on top.

Source: Docker Engine API, `POST /commit`.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from cutaway.container.lifecycle import Containers
from cutaway.container.records import RUNNING
from cutaway.container.shelf import Kept
from cutaway.container.spec import Config, words
from cutaway.errors import ConflictError
from cutaway.layer.layers import Layers
from cutaway.oci.image import History, ImageConfig, RunConfig
from cutaway.settings import Settings
from cutaway.store import describe
from cutaway.store.images import Image, Images

Change = Callable[[ImageConfig], ImageConfig]


@dataclass(frozen=True, slots=True)
class CommitOptions:
    """`name` may be empty; `change` has the last word about how the image runs."""

    name: str = ""
    message: str = ""
    author: str = ""
    pause: bool = True
    change: Change = lambda config: config


class Committing:
    """Makes images of the containers of one engine."""

    def __init__(self, settings: Settings, containers: Containers, images: Images, layers: Layers) -> None:
        self._settings, self._containers = settings, containers
        self._images, self._layers = images, layers

    async def commit(self, name: str, options: CommitOptions) -> Image:
        """The new image. Raises NotFoundError, ConflictError for a container that is being removed."""
        kept = self._containers.shelf.find(name)
        async with kept.lock:
            if kept.removing:
                raise ConflictError(f"You cannot commit container {kept.record.id} which is being removed")
            async with self._frozen(kept) if options.pause else contextlib.nullcontext():
                image = await asyncio.to_thread(self._commit, kept, options)
        self._containers.emit("commit", kept.record, comment=options.message, imageID=str(image.id))
        return image

    @contextlib.asynccontextmanager
    async def _frozen(self, kept: Kept) -> AsyncIterator[None]:
        if kept.record.state.status != RUNNING:
            yield
            return
        await self._containers.ending.freeze(kept)
        try:
            yield
        finally:
            await self._containers.ending.thaw(kept)

    def _commit(self, kept: Kept, options: CommitOptions) -> Image:
        record = kept.record
        base = self._images.get(record.image)
        with self._images.hold():
            layer = self._layers.copy_upper(self._settings.container(record.id) / "upper")
            created = describe.now()
            entry = History(
                created=created,
                created_by=" ".join(record.config.argv),
                author=options.author,
                comment=options.message,
                empty_layer=layer.empty,
            )
            config = copy.deepcopy(base.config)
            config.created, config.author = created, options.author
            config.config = run_config(record.config, config.config)
            config.history = [*(config.history or []), entry]
            stack = [*base.stack] if layer.empty else [*base.stack, layer]
            names = [options.name] if options.name else []
            return self._images.add(options.change(config), stack, names, parent=str(base.id))


def run_config(config: Config, image: RunConfig) -> RunConfig:
    """How the container runs, as an image says it; what only images know (ONBUILD, SHELL) stays."""
    return RunConfig(
        user=config.user,
        exposed_ports=config.exposed_ports or None,
        env=config.env or None,
        entrypoint=words(config.entrypoint) or None,
        cmd=words(config.cmd) or None,
        volumes=config.volumes or None,
        working_dir=config.working_dir,
        labels=config.labels or None,
        stop_signal=config.stop_signal,
        healthcheck=config.healthcheck,
        on_build=image.on_build,
        shell=image.shell,
    )
