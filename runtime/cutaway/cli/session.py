"""What every command is given: the streams, the engine's settings, and the way to the engine.

The client is made when a command first asks for it. So `--help`, completion and a mistyped flag neither
import docker-py nor start an engine.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import TYPE_CHECKING, Literal

import click

from cutaway.cli.streams import Streams
from cutaway.settings import Settings

if TYPE_CHECKING:
    from cutaway.cli.client import Api

Surface = Literal["terminal", "notebook"]


@dataclasses.dataclass
class Session:
    """One command's surroundings. `surface`: where the answer is read; `program`: what is typed first."""

    streams: Streams
    surface: Surface = "terminal"
    program: str = "cutaway"

    @functools.cached_property
    def settings(self) -> Settings:
        """Our engine's root and socket, by environment. Raises BadInputError."""
        return Settings.from_environment()

    @property
    def other_engine(self) -> str:
        """The address in `DOCKER_HOST` when it names an engine that is not ours, else empty."""
        address = os.environ.get("DOCKER_HOST", "")
        return "" if address == self.settings.address else address

    @functools.cached_property
    def api(self) -> Api:
        """The engine, started if it has to be. Raises EngineUnavailableError."""
        from cutaway.cli.client import connect

        return connect(self)


pass_session = click.make_pass_decorator(Session)
