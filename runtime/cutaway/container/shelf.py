"""All containers of an engine by id and name, in memory and in the database at once.

Requests for one container must not cross: a start and a removal, say. So each has a lock, held for as long as
its state changes. Whoever waits for its end or its removal waits for a future here.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Protocol

from cutaway.container.naming import new_name
from cutaway.container.records import Record, decode, encode
from cutaway.errors import BadInputError, ConflictError, NotFoundError


class Rows(Protocol):
    """The part of the database that keeps containers: `store.Database`."""

    def put_container(self, container_id: str, name: str, json: str) -> None:
        """Insert or replace."""

    def containers(self) -> list[str]:
        """The JSON of every container, in the order of creation."""

    def delete_container(self, container_id: str) -> None:
        """Forget."""


class Emit(Protocol):
    """Tells an event about a container."""

    def __call__(self, action: str, record: Record, **more: str) -> None:
        """Tell it; `more` are attributes beside the container's own."""


@dataclasses.dataclass(eq=False)
class Kept:
    """A container in memory. `removing` is set for good when its removal begins."""

    record: Record
    lock: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)
    removing: bool = False
    exits: set[asyncio.Future[int]] = dataclasses.field(default_factory=set)
    removals: set[asyncio.Future[int]] = dataclasses.field(default_factory=set)

    def tell_exit(self) -> None:
        """Wake who waits for the end."""
        _wake(self.exits, self.record.state.exit_code)

    def tell_removal(self) -> None:
        """Wake everybody: there is nothing left to wait for."""
        _wake(self.exits, self.record.state.exit_code)
        _wake(self.removals, self.record.state.exit_code)

    async def wait(self, condition: str) -> int:
        """The exit code, when `condition` holds: not-running, next-exit or removed."""
        if condition == "removed":
            return await self.removal()
        if condition == "not-running" and not self.record.state.active:
            return self.record.state.exit_code
        return await self.next_exit()

    async def next_exit(self) -> int:
        """The exit code, at its next end or when it is removed."""
        return await _wait(self.exits)

    async def removal(self) -> int:
        """The last exit code, when it is gone."""
        return await _wait(self.removals)


class Shelf:
    """Find, put and take away. Every change is in the database when the method returns."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._by_id: dict[str, Kept] = {}
        self._ids: dict[str, str] = {}
        for text in rows.containers():
            self._remember(Kept(decode(text)))

    def __iter__(self) -> Iterator[Kept]:
        return iter(tuple(self._by_id.values()))

    def __contains__(self, container_id: object) -> bool:
        return container_id in self._by_id

    def get(self, container_id: str) -> Kept | None:
        """By the whole id."""
        return self._by_id.get(container_id)

    def find(self, text: str) -> Kept:
        """By name, whole id or beginning of an id. Raises NotFoundError, BadInputError (Docker's words)."""
        bare = text.removeprefix("/")
        kept = self._by_id.get(bare) or self._by_id.get(self._ids.get(bare, ""))
        if kept is not None:
            return kept
        found = [kept for container_id, kept in self._by_id.items() if bare and container_id.startswith(bare)]
        if len(found) > 1:
            raise BadInputError(
                f"Multiple IDs found with provided prefix: {text}", "give more digits of the id"
            )
        if not found:
            raise NotFoundError(f"No such container: {text}", "ps -a lists the containers")
        return found[0]

    def free_name(self) -> str:
        """A made-up name that nobody has."""
        return new_name(self._ids)

    def check_name(self, name: str) -> None:
        """Raises ConflictError in Docker's words when somebody has the name."""
        owner = self._ids.get(name)
        if owner is not None:
            raise ConflictError(
                f'Conflict. The container name "/{name}" is already in use by container "{owner}". '
                "You have to remove (or rename) that container to be able to reuse that name.",
                f"remove it with: rm {name}",
            )

    def add(self, record: Record) -> Kept:
        """Keep a new container. Raises ConflictError for its name."""
        self.check_name(record.name)
        kept = Kept(record)
        self._remember(kept)
        try:
            self.save(kept)
        except BaseException:
            self._forget(kept)
            raise
        return kept

    def save(self, kept: Kept) -> None:
        """Write what has changed."""
        self._rows.put_container(kept.record.id, kept.record.name, encode(kept.record))

    def rename(self, kept: Kept, name: str) -> None:
        """Give another name. Raises ConflictError when somebody has it."""
        self.check_name(name)
        del self._ids[kept.record.name]
        kept.record.name = name
        self._ids[name] = kept.record.id
        self.save(kept)

    def remove(self, kept: Kept) -> None:
        """Forget it."""
        self._rows.delete_container(kept.record.id)
        self._forget(kept)

    def _remember(self, kept: Kept) -> None:
        self._by_id[kept.record.id] = kept
        self._ids[kept.record.name] = kept.record.id

    def _forget(self, kept: Kept) -> None:
        self._by_id.pop(kept.record.id, None)
        self._ids.pop(kept.record.name, None)


async def _wait(waiting: set[asyncio.Future[int]]) -> int:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting.add(future)
    try:
        return await future
    finally:
        with contextlib.suppress(KeyError):
            waiting.remove(future)


def _wake(waiting: set[asyncio.Future[int]], code: int) -> None:
    for future in tuple(waiting):
        if not future.done():
            future.set_result(code)
    waiting.clear()
