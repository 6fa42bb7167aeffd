"""Every route of the API, gathered from the rooms."""

from __future__ import annotations

from cutaway.api import system
from cutaway.api.routing import Routes


def all_routes() -> Routes:
    """One table of all the rooms' tables."""
    table = Routes()
    table.include((system.routes,))
    return table
