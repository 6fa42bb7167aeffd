"""Where an engine lives: its root folder, its socket, and the name that its kernel objects carry.

An engine is known by its root folder alone. Everything that it keeps is below that folder, and everything
that it makes in the kernel (bridge, nftables table, cgroups) carries its *instance* name, which is derived
from the folder's path. So two engines on one machine do not meet, and what a dead engine left over is found
by name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from cutaway.errors import BadInputError

DEFAULT_ROOT = Path("/var/lib/cutaway")
DEFAULT_SOCKET = Path("/run/cutaway/engine.sock")
LONGEST_SOCKET_PATH = 107  # sun_path holds 108 bytes and ends in a zero: unix(7)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The root folder and the socket of one engine; both absolute. Nothing is created by asking."""

    root: Path
    socket: Path

    @classmethod
    def from_environment(
        cls,
        root: str | Path | None = None,
        socket: str | Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Settings:
        """Arguments first, then `CUTAWAY_ROOT` and `CUTAWAY_HOST` (a `unix://` address), then the defaults.

        A root that is not the default one has its socket in it, unless told otherwise.
        Raises BadInputError for an address that is not `unix://…` and a path that the kernel would not take.
        """
        env = os.environ if environ is None else environ
        chosen_root = _absolute(root or env.get("CUTAWAY_ROOT") or "")
        folder = chosen_root or default_root(env)
        chosen_socket = _absolute(socket or socket_of_address(env.get("CUTAWAY_HOST", "")))
        if chosen_socket is None:
            chosen_socket = folder / "engine.sock" if chosen_root else default_socket(env)
        if len(os.fsencode(chosen_socket)) > LONGEST_SOCKET_PATH:
            raise BadInputError(
                f"socket path {chosen_socket} is longer than {LONGEST_SOCKET_PATH} bytes",
                "choose a shorter one with --socket or CUTAWAY_HOST",
            )
        return cls(folder, chosen_socket)

    @property
    def address(self) -> str:
        """What `DOCKER_HOST` has to say to reach this engine."""
        return f"unix://{self.socket}"

    @property
    def instance(self) -> str:
        """`cutaway0` for the default root, else `cutaway` and six hex digits of its path's SHA-256.

        At most 13 bytes, because an interface's name has room for 15.
        """
        if self.root == DEFAULT_ROOT:
            return "cutaway0"
        return "cutaway" + hashlib.sha256(os.fsencode(self.root)).hexdigest()[:6]

    @property
    def database(self) -> Path:
        """SQLite: containers, names of images, build cache, addresses."""
        return self.root / "engine.db"

    @property
    def lock(self) -> Path:
        """Held by the engine for as long as it runs; holds its pid as text."""
        return self.root / "engine.lock"

    @property
    def log(self) -> Path:
        """The engine's own log."""
        return self.root / "engine.log"

    @property
    def keeper_socket(self) -> Path:
        """Where the keeper listens for engines."""
        return self.root / "keeper.sock"

    @property
    def keeper_log(self) -> Path:
        """The keeper's own log."""
        return self.root / "keeper.log"

    @property
    def content(self) -> Path:
        """The OCI image layout: blobs by digest."""
        return self.root / "content"

    @property
    def layers(self) -> Path:
        """Unpacked layers, one folder each."""
        return self.root / "layers"

    @property
    def containers(self) -> Path:
        """One folder for each container."""
        return self.root / "containers"

    @property
    def cache(self) -> Path:
        """Downloads and compiled filters: may be removed at any time."""
        return self.root / "cache"

    @property
    def tmp(self) -> Path:
        """What is half made. Emptied when an engine starts."""
        return self.root / "tmp"

    def container(self, container_id: str) -> Path:
        """The folder of one container, by its full id."""
        return self.containers / container_id


def default_root(environ: Mapping[str, str]) -> Path:
    """`/var/lib/cutaway` for root, else below `XDG_DATA_HOME`."""
    if os.geteuid() == 0:
        return DEFAULT_ROOT
    data = environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
    return Path(data) / "cutaway"


def course_root(environ: Mapping[str, str]) -> Path:
    """The root of the course's own engine: beside the default one, because lessons remove every container."""
    default = default_root(environ)
    return default.with_name(f"{default.name}-course")


def default_socket(environ: Mapping[str, str]) -> Path:
    """`/run/cutaway/engine.sock` for root, else below `XDG_RUNTIME_DIR`."""
    if os.geteuid() == 0:
        return DEFAULT_SOCKET
    runtime = environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "cutaway/engine.sock" if runtime else default_root(environ) / "engine.sock"


def socket_of_address(address: str) -> str:
    """The path in `unix:///run/x.sock`; empty for an empty address. Raises BadInputError for other kinds."""
    if not address:
        return ""
    path = address.removeprefix("unix://")
    if path == address or not path.startswith("/"):
        raise BadInputError(
            f'CUTAWAY_HOST "{address}" is not an address of the form unix:///path',
            "the engine listens on a unix socket only; use DOCKER_HOST to name another engine",
        )
    return path


def _absolute(path: str | Path) -> Path | None:
    return Path(os.path.abspath(path)) if path else None  # noqa: PTH100 - resolve() would follow links
