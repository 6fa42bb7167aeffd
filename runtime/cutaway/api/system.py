"""The engine about itself: `_ping`, `version`, `info`, `events`, `system/df`.

Clients decide by these answers what they may ask: the stock client takes the API version from the headers of
`_ping`, and `Builder-Version: 1` makes it send builds as a plain tar. So everything here has to be true.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import time

from aiohttp import web

import cutaway
from cutaway.api import host, info
from cutaway.api.answers import JsonLines, json_answer
from cutaway.api.routing import OLDEST_API_VERSION, Answer, Call, Routes, api_version
from cutaway.errors import BadInputError
from cutaway.events import Event

routes = Routes()

_EVENT_FILTERS = frozenset(
    ("type", "event", "label", "container", "image", "network", "volume", "daemon", "scope")
)


def server_line() -> str:
    """What the `Server` header says."""
    return f"Cutaway/{cutaway.__version__} (linux)"


@routes.get("/_ping")
async def ping(call: Call) -> Answer:
    """`GET /_ping`, `HEAD /_ping`: alive, and what it speaks."""
    headers = {
        "Api-Version": api_version(),
        "Builder-Version": "1",
        "Docker-Experimental": "false",
        "Ostype": "linux",
        "Server": server_line(),
        "Swarm": "inactive",
        "Cache-Control": "no-cache, no-store, must-revalidate",
    }
    return web.Response(text="OK", headers=headers)


@routes.get("/version")
async def version(call: Call) -> Answer:
    """`GET /version`."""
    details = {
        "ApiVersion": api_version(),
        "MinAPIVersion": api_version(OLDEST_API_VERSION),
        "Os": "linux",
        "Arch": host.architecture(),
        "KernelVersion": platform.release(),
        "GitCommit": "",
        "GoVersion": "",
        "BuildTime": "",
    }
    python = {"Name": "Python", "Version": platform.python_version(), "Details": {}}
    engine = {
        "Name": "Engine",
        "Version": cutaway.__version__,
        "Details": {**details, "Experimental": "false"},
    }
    return json_answer(
        {
            "Platform": {"Name": "Cutaway"},
            "Components": [engine, python],
            "Version": cutaway.__version__,
            **details,
        }
    )


@routes.get("/info")
async def information(call: Call) -> Answer:
    """`GET /info`: counts, drivers, limits of this machine, and what it does not permit (`Warnings`)."""
    return json_answer(await info.engine_info(call.engine))


@routes.get("/events", streaming=True)
async def events(call: Call) -> Answer:
    """`GET /events`: what happened since `since`, and on until `until`, one JSON object per line."""
    since, until = call.moment("since"), call.moment("until")
    wanted = EventFilter(call.filters())
    lines = JsonLines(call.request)
    await lines.open()
    log = call.engine.events
    subscription = log.subscribe()  # before the history is read, so that nothing falls between
    try:
        last = 0
        for event in log.history(since, until) if (since, until) != (None, None) else ():
            last = event.time_ns
            if wanted(event):
                await lines.send(event.to_docker())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_seconds_until(until)):
                async for event in subscription:
                    if event.time_ns > last and wanted(event):
                        await lines.send(event.to_docker())
    finally:
        subscription.close()
    return lines.response


@routes.get("/system/df")
async def disk_usage(call: Call) -> Answer:
    """`GET /system/df`: images, containers, build cache."""
    return json_answer(await info.disk_usage(call.engine))


class EventFilter:
    """The `filters` of `GET /events`: every named filter has to match, by any of its values."""

    def __init__(self, filters: dict[str, list[str]]) -> None:
        unknown = set(filters) - _EVENT_FILTERS
        if unknown:
            raise BadInputError(f"invalid filter '{min(unknown)}'")
        self._filters = filters

    def __call__(self, event: Event) -> bool:
        """Whether the client asked for this event."""
        return all(
            any(self._matches(event, name, value) for value in values)
            for name, values in self._filters.items()
        )

    @staticmethod
    def _matches(event: Event, name: str, value: str) -> bool:
        match name:
            case "type":
                return event.type == value
            case "event":
                return event.action == value or event.action.startswith(f"{value}: ")
            case "label":
                key, equals, wanted = value.partition("=")
                return key in event.attributes and (not equals or event.attributes[key] == wanted)
            case "container" | "image" | "network" | "volume" | "daemon":
                return event.type == name and _is_actor(event, value)
            case "scope":
                return value == "local"
        return False


def _is_actor(event: Event, value: str) -> bool:
    names = (event.actor_id, event.attributes.get("name", ""), event.attributes.get("image", ""))
    return value in names or (len(value) >= 4 and event.actor_id.removeprefix("sha256:").startswith(value))


def _seconds_until(until: int | None) -> float | None:
    return None if until is None else max(0.0, (until - time.time_ns()) / 1e9)
