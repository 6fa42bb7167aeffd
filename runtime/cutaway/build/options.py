"""What a build is asked to do, and what it asks of others.

The builder runs no containers: RUN is handed to a function that the engine puts in. So this room knows
nothing of the room of containers, and a test may run the command in any way it likes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

Emit = Callable[[dict[str, Any]], Awaitable[None]]
"""Takes one message of Docker's JSON stream: `{"stream": text}`, `{"aux": {"ID": id}}`."""


@dataclasses.dataclass(frozen=True, slots=True)
class BuildOptions:
    """Docker's `POST /build` query as values: names as there, where they have one of their own."""

    tags: tuple[str, ...] = ()
    dockerfile: str = "Dockerfile"
    no_cache: bool = False
    arguments: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    target: str = ""
    remove: bool = True
    quiet: bool = False
    network: str = ""
    limits: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """For RUN, under the names of Docker's HostConfig (`Memory`, `MemorySwap`, `CpuQuota`, …)."""


@dataclasses.dataclass(frozen=True, slots=True)
class RunRequest:
    """One RUN step: a command over layers (diff ids, lowest first). `image` is the image so far, if any.

    `environment` is a list of `name=value`, `working_dir` exists already, `user` as USER wrote it. `network`
    and `limits` as in `BuildOptions`.
    """

    image: str
    layers: tuple[str, ...]
    argv: tuple[str, ...]
    environment: tuple[str, ...]
    user: str = ""
    working_dir: str = "/"
    network: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    limits: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class RunResult:
    """How a RUN ended. `upper` holds its changes, unmounted; who takes it away renames it.

    `discard` removes what is left of the container; it is called once, whether `upper` was taken or not.
    """

    exit_code: int
    upper: Path
    discard: Callable[[], Awaitable[None]]


class Run(Protocol):
    """Runs a command to its end. Cancelling it kills the command and leaves nothing."""

    async def __call__(
        self,
        request: RunRequest,
        started: Callable[[str], Awaitable[None]],
        output: Callable[[bytes], Awaitable[None]],
    ) -> RunResult:
        """`started` gets the container's id, `output` what it prints (both streams, in order of arrival).

        Raises CutawayError when it could not be started.
        """
