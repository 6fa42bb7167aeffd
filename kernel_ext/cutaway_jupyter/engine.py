"""The engine that a notebook talks to: the same one as its magics."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cutaway.cli.client import Api


def engine_api() -> Api:
    """The engine of `DOCKER_HOST`, or our own, started if it has to be. Raises EngineUnavailableError."""
    from cutaway.cli.client import connect
    from cutaway.cli.session import Session
    from cutaway.cli.streams import Streams

    silent = Streams(None, lambda data: None, lambda data: None)
    return connect(Session(silent, "notebook", "%container"))
