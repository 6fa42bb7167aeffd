"""Looking at containers, without changing anything: inspect, ps, top, diff."""

from __future__ import annotations

import asyncio
from typing import Any

from cutaway.container import filtering, listing, processes
from cutaway.container.inspecting import inspect
from cutaway.container.lifecycle import Containers
from cutaway.errors import ConflictError
from cutaway.layer.layers import Layers
from cutaway.settings import Settings
from cutaway.store.images import Images

JsonList = list[dict[str, Any]]  # within the class, `list` is a method


class Looking:
    """Answers about the containers of one engine. To be used from its event loop."""

    def __init__(self, settings: Settings, containers: Containers, images: Images, layers: Layers) -> None:
        self.settings, self.containers, self.images, self.layers = settings, containers, images, layers
        self.shelf, self.execs = containers.shelf, containers.execs

    async def inspect(self, name: str, *, size: bool = False) -> dict[str, Any]:
        """Docker's JSON of `GET /containers/{id}/json`."""
        record = self.shelf.find(name).record
        data = inspect(record, self.settings, self.execs.ids(record.id))
        if size:
            data |= await listing.sizes(record, self.settings, self.layers)
        return data

    async def list(
        self,
        *,
        all: bool = False,
        limit: int | None = None,
        size: bool = False,
        filters: dict[str, list[str]] | None = None,
    ) -> JsonList:
        """Docker's JSON of `GET /containers/json`, the newest first."""
        chosen = filtering.choose(self.shelf, filters or {}, all=all, limit=limit or 0, images=self.images)
        return [
            listing.summary(record, self.settings)
            | (await listing.sizes(record, self.settings, self.layers) if size else {})
            for record in chosen
        ]

    async def changes(self, name: str) -> JsonList:
        """Docker's JSON of `GET /containers/{id}/changes`: Kind 0 changed, 1 added, 2 deleted."""
        record = self.shelf.find(name).record
        return await asyncio.to_thread(listing.changes, record, self.settings, self.layers)

    async def top(self, name: str, options: str = "") -> dict[str, Any]:
        """Docker's JSON of `GET /containers/{id}/top`. `options`: those of ps."""
        record = self.shelf.find(name).record
        if not record.state.running:
            raise ConflictError(f"container {record.id} is not running")
        return await asyncio.to_thread(processes.top, self.containers.cgroup(record).processes(), options)
