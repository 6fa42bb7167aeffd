"""Builds: a context as a tar in the body, a Dockerfile in it, and a stream of what happens.

This is Docker's classic builder: the client packs the folder, the engine unpacks it, runs the instructions and tells
each step as a line of JSON. The stock client uses it with `DOCKER_BUILDKIT=0`, docker-py always. A client that goes away
ends the build: the handler is cancelled, and the builder undoes what was half made.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cutaway.api.answers import JsonLines, json_answer
from cutaway.api.routing import Answer, Call, Routes, query_json
from cutaway.api.transfer import uploaded
from cutaway.errors import BadInputError, CutawayError

routes = Routes()


@routes.post("/build", streaming=True)
async def build(call: Call) -> Answer:
    """`POST /build`."""
    raise NotImplementedError


@routes.post("/build/prune")
async def prune(call: Call) -> Answer:
    """`POST /build/prune`: forgets which steps were built before."""
    count = call.engine.database.clear_cache()
    call.engine.events.emit("builder", "prune", "", {"reclaimed": "0"})
    return json_answer({"CachesDeleted": [], "SpaceReclaimed": 0, "Forgotten": count})
