"""Networks and volumes, as far as clients ask before they do something else."""

from __future__ import annotations

from cutaway.api.answers import json_answer
from cutaway.api.routing import Answer, Call, Routes
from cutaway.errors import NotFoundError

routes = Routes()


@routes.get("/networks")
async def listing(call: Call) -> Answer:
    """`GET /networks`: the three that are always there."""
    return json_answer(call.engine.network.describe())


@routes.get("/networks/{name}")
async def inspect(call: Call) -> Answer:
    """`GET /networks/{name}`, by name or id."""
    for network in call.engine.network.describe():
        if call["name"] in (network["Name"], network["Id"], network["Id"][:12]):
            return json_answer(network)
    raise NotFoundError(f"network {call['name']} not found", "there are bridge, host and none")


@routes.get("/volumes")
async def volumes(call: Call) -> Answer:
    """`GET /volumes`: this engine has none yet."""
    return json_answer({"Volumes": [], "Warnings": None})


@routes.get("/volumes/{name}")
async def volume(call: Call) -> Answer:
    """`GET /volumes/{name}`."""
    raise NotFoundError(f"get {call['name']}: no such volume")
