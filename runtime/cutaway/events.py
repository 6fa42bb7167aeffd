"""What happened, in order, for whoever wants to know.

Every part of the engine tells its deeds here (`container start`, `image tag`, …). The log keeps the last
thousand, so that `docker events --since` has something to answer from, and wakes every subscriber at once.
A subscriber that does not read is not waited for: it loses the oldest of what it has not read yet.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

KEPT = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One deed. `type` is container, image, network, builder or daemon; `action` as in Docker's events."""

    type: str
    action: str
    actor_id: str
    attributes: dict[str, str] = dataclasses.field(default_factory=dict)
    time_ns: int = 0

    def to_docker(self) -> dict[str, Any]:
        """The JSON of `GET /events`, with the fields of old API versions that clients still read."""
        data: dict[str, Any] = {
            "Type": self.type,
            "Action": self.action,
            "Actor": {"ID": self.actor_id, "Attributes": self.attributes},
            "scope": "local",
            "time": self.time_ns // 1_000_000_000,
            "timeNano": self.time_ns,
        }
        if self.type in ("container", "image"):
            data |= {"status": self.action, "id": self.actor_id}
        if self.type == "container":
            data["from"] = self.attributes.get("image", "")
        return data


class Subscription:
    """The events from now on, as an async iterator. Ends with `close()` or when the log is closed."""

    def __init__(self, release: Callable[[Subscription], None]) -> None:
        self._release = release
        self._waiting: collections.deque[Event] = collections.deque(maxlen=KEPT)
        self._news = asyncio.Event()
        self._closed = False

    def put(self, event: Event) -> None:
        """Hand over one event. Never blocks."""
        self._waiting.append(event)
        self._news.set()

    def close(self) -> None:
        """End the iteration after what is already waiting, and be forgotten by the log."""
        self._closed = True
        self._news.set()
        self._release(self)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()


class EventLog:
    """The last thousand events and those who listen. To be used from the event loop's thread only."""

    def __init__(self) -> None:
        self._ring: collections.deque[Event] = collections.deque(maxlen=KEPT)
        self._subscriptions: set[Subscription] = set()
        self._last_ns = 0

    def emit(
        self, type: str, action: str, actor_id: str, attributes: Mapping[str, str] | None = None
    ) -> Event:
        """Note a deed and wake the subscribers. Times rise strictly, so that `since` can resume exactly."""
        self._last_ns = max(time.time_ns(), self._last_ns + 1)
        event = Event(type, action, actor_id, dict(attributes or {}), self._last_ns)
        self._ring.append(event)
        for subscription in tuple(self._subscriptions):
            subscription.put(event)
        return event

    def history(self, since: int | None = None, until: int | None = None) -> list[Event]:
        """What is still kept with `since <= time_ns <= until`, in order; nanoseconds since the epoch."""
        lower = 0 if since is None else since
        return [e for e in self._ring if e.time_ns >= lower and (until is None or e.time_ns <= until)]

    def subscribe(self) -> Subscription:
        """Listen from now on; `async for event in log.subscribe()`. Close it when done."""
        subscription = Subscription(self._subscriptions.discard)
        self._subscriptions.add(subscription)
        return subscription

    @property
    def listeners(self) -> int:
        """How many subscriptions there are."""
        return len(self._subscriptions)

    def close(self) -> None:
        """End every subscription: the engine stops."""
        for subscription in tuple(self._subscriptions):
            subscription.close()
