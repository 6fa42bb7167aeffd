"""Every route of the API, gathered from the rooms."""

from __future__ import annotations

from cutaway.api import (
    archive,
    build,
    containers,
    execs,
    images,
    looking,
    networks,
    own,
    stats,
    system,
    talking,
    views,
)
from cutaway.api.routing import Routes


def all_routes() -> Routes:
    """One table of all the rooms' tables."""
    rooms = (system, containers, archive, looking, stats, talking, execs, images, build, networks, own, views)
    table = Routes()
    table.include(room.routes for room in rooms)
    return table
