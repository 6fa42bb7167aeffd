"""Containers looked at: listed, inspected, their processes, their changes."""

from __future__ import annotations

from cutaway.api.answers import json_answer
from cutaway.api.routing import Answer, Call, Routes

routes = Routes()


@routes.get("/containers/json")
async def listing(call: Call) -> Answer:
    """`GET /containers/json`: `all`, `limit`, `size`, `filters`."""
    found = await call.engine.looking.list(
        all=call.flag("all"), limit=call.number("limit"), size=call.flag("size"), filters=call.filters()
    )
    return json_answer(found)


@routes.get("/containers/{id}/json")
async def inspect(call: Call) -> Answer:
    """`GET /containers/{id}/json`: `size`."""
    return json_answer(await call.engine.looking.inspect(call["id"], size=call.flag("size")))


@routes.get("/containers/{id}/top")
async def top(call: Call) -> Answer:
    """`GET /containers/{id}/top`: the container's processes; `ps_args`: the options of ps."""
    return json_answer(await call.engine.looking.top(call["id"], call.text("ps_args")))


@routes.get("/containers/{id}/changes")
async def changes(call: Call) -> Answer:
    """`GET /containers/{id}/changes`: what was changed (0), added (1) or deleted (2) since the image."""
    return json_answer(await call.engine.looking.changes(call["id"]))
