"""What Docker's API does not have: plans, base images without a registry, what the machine permits.

A client finds out whether it talks to this kind of engine by asking for one of these paths: others answer 404.
"""

from __future__ import annotations

import asyncio
from typing import Any

from cutaway.api.answers import JsonLines, json_answer
from cutaway.api.routing import Answer, Call, Routes
from cutaway.errors import BadInputError, CutawayError

routes = Routes()


@routes.get("/cutaway/doctor")
async def doctor(call: Call) -> Answer:
    """`GET /cutaway/doctor`: what this machine permits, found by trying."""
    raise NotImplementedError


@routes.post("/cutaway/plan")
async def plan(call: Call) -> Answer:
    """`POST /cutaway/plan`: the body of a create; answers the steps that would be taken, and takes none."""
    raise NotImplementedError


@routes.get("/cutaway/containers/{id}/plan")
async def trace(call: Call) -> Answer:
    """`GET /cutaway/containers/{id}/plan`: the steps of the last start, each with its time and its result."""
    raise NotImplementedError


@routes.post("/cutaway/images/bootstrap", streaming=True)
async def bootstrap(call: Call) -> Answer:
    """`POST /cutaway/images/bootstrap?name=busybox`: make a base image; a stream of progress."""
    raise NotImplementedError
