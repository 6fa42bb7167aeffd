"""Every route of the API, gathered from the rooms."""

from __future__ import annotations

from cutaway.api import build, containers, execs, images, networks, own, system, views
from cutaway.api.routing import Routes


def all_routes() -> Routes:
    """One table of all the rooms' tables."""
    rooms = (system, containers, execs, images, build, networks, own, views)
    table = Routes()
    table.include(room.routes for room in rooms)
    return table
