"""What the engine remembers of a container, as it is kept in the database.

A record is written whenever something changes, so an engine that was killed finds everything as it was. What
only the kernel and the keeper know (does it still run?) is asked of them at the next start: see `takeover`.
"""

from __future__ import annotations

import datetime
import time

import msgspec

from cutaway.container.spec import Config, HostConfig
from cutaway.network.endpoint import Endpoint

NEVER = "0001-01-01T00:00:00Z"

CREATED, RUNNING, PAUSED, EXITED, DEAD = "created", "running", "paused", "exited", "dead"
RESTARTING, REMOVING = "restarting", "removing"


class Check(msgspec.Struct):
    """One run of a health check. `code` -1: it did not end in time, or could not be run."""

    start: str
    end: str
    code: int
    output: str


class Health(msgspec.Struct):
    """What the health checks found: starting, healthy or unhealthy, and the last five of them."""

    status: str = "starting"
    failing_streak: int = 0
    log: list[Check] = []


class State(msgspec.Struct):
    """What became of it.

    Times in RFC 3339, `NEVER` for what has not happened; `start_time` in ticks, see proc(5).
    """

    status: str = CREATED
    pid: int = 0
    start_time: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_at: str = NEVER
    finished_at: str = NEVER
    health: Health | None = None

    @property
    def running(self) -> bool:
        """Whether it has a process. Docker counts a paused container among the running ones."""
        return self.status in (RUNNING, PAUSED)

    @property
    def active(self) -> bool:
        """Whether Docker says that it runs: also while it waits for its restart."""
        return self.running or self.status == RESTARTING

    @property
    def started(self) -> bool:
        """Whether it has ever run."""
        return self.started_at != NEVER


class Mount(msgspec.Struct, omit_defaults=True):
    """Something of the host, or memory, at a place in the container. `type` is bind, volume or tmpfs."""

    type: str
    destination: str
    source: str = ""
    name: str = ""
    read_only: bool = False
    options: str = ""
    anonymous: bool = False
    mode: str = ""
    """As the user wrote it behind the last colon."""
    propagation: str = "rprivate"
    recursive: bool = True
    copy: bool = False
    """Whether a volume that is still empty is filled with what the image has at its place."""


class Record(msgspec.Struct):
    """A container. `image` is the image's id, `layers` the diff ids of its layers, the lowest first."""

    id: str
    name: str
    created: str
    image: str
    layers: list[str]
    config: Config
    host: HostConfig
    mounts: list[Mount] = []
    state: State = msgspec.field(default_factory=State)
    endpoint: Endpoint | None = None
    restart_count: int = 0
    """How often its policy started it again since somebody did."""
    stopped_by_hand: bool = False
    quiet: bool = False
    """Of the builder: not listed, and thrown away when found after a crash."""

    @property
    def short_id(self) -> str:
        """The first twelve digits."""
        return self.id[:12]

    @property
    def hostname(self) -> str:
        """The name that it has in its own eyes."""
        return self.config.hostname or self.short_id

    @property
    def network(self) -> str:
        """`bridge`, `host` or `none`."""
        if self.config.network_disabled:
            return "none"
        mode = self.host.network_mode
        return "bridge" if mode in ("", "default") else mode

    def attributes(self) -> dict[str, str]:
        """What an event tells about it."""
        return {"image": self.config.image, "name": self.name, **self.config.labels}


def encode(record: Record) -> str:
    """JSON for the database."""
    return msgspec.json.encode(record).decode()


def decode(text: str) -> Record:
    """The reverse of `encode`."""
    return msgspec.json.decode(text, type=Record)


def now() -> str:
    """The present moment in RFC 3339 with nanoseconds."""
    return rfc3339(time.time_ns())


def rfc3339(time_ns: int) -> str:
    """A moment in nanoseconds since the epoch as Docker writes it."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z"


def seconds_since_epoch(text: str) -> float:
    """The reverse of `rfc3339`, to the microsecond; also of other RFC 3339 texts. 0 for `NEVER`."""
    if text.startswith("0001-"):
        return 0.0
    head, _, fraction = text.removesuffix("Z").partition(".")
    if text.endswith("Z"):
        moment = datetime.datetime.fromisoformat(head).replace(tzinfo=datetime.UTC)
        return moment.timestamp() + (float(f"0.{fraction}") if fraction else 0.0)
    return datetime.datetime.fromisoformat(text).timestamp()
