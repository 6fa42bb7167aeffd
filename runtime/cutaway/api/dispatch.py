"""What happens to every request: find the route, run it, turn errors into answers.

Most requests change something, and a client that goes away in the middle must not leave it half done: those
run to their end whatever the connection does. Streaming ones (logs, events, builds) exist for their client
alone and are cancelled with it; when the engine stops, they are the ones that would wait for ever, and are
ended.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import web

from cutaway.api.answers import error_answer
from cutaway.api.routing import Answer, Call, Route, Routes
from cutaway.errors import CutawayError

if TYPE_CHECKING:
    from cutaway.engine import Engine

log = logging.getLogger(__name__)


class Dispatcher:
    """The HTTP server's handler: called with each request."""

    def __init__(self, engine: Engine, routes: Routes) -> None:
        self._engine = engine
        self._routes = routes
        self._streams: set[asyncio.Task[Answer]] = set()
        self._work: set[asyncio.Task[Answer]] = set()

    async def __call__(self, request: web.BaseRequest) -> Answer:
        """Answer one request. Raises nothing but what a lost connection raises."""
        what = f"{request.method} {request.rel_url.raw_path}"
        try:
            route, parts = self._routes.find(request.method, request.rel_url.raw_path)
            return await self._run(route, Call(request, self._engine, parts), what)
        except CutawayError as error:
            return error_answer(error, what)
        except ConnectionError:
            raise
        except Exception as error:
            return error_answer(error, what)

    async def _run(self, route: Route, call: Call, what: str) -> Answer:
        task: asyncio.Task[Answer] = asyncio.ensure_future(route.handler(call))
        task.set_name(what)
        kept = self._streams if route.streaming else self._work
        kept.add(task)
        task.add_done_callback(kept.discard)
        if not route.streaming:
            return await asyncio.shield(task)
        try:
            return await task
        except asyncio.CancelledError:
            # Cancelled by `close`, not from outside: the connection has to end although nobody left it.
            request = call.request
            request.protocol.force_close()
            raise

    async def close(self, grace: float) -> None:
        """End the streams; give the rest `grace` seconds to end by itself."""
        for task in tuple(self._streams):
            task.cancel()
        waiting = {*self._streams, *self._work}
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=grace)
            for task in late:
                log.warning("%s was cut off because the engine stops", task.get_name())
                task.cancel()
