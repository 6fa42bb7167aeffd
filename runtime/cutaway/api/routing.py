"""From a request's path to the function that answers it.

A room of the API is a `Routes` table that its module fills with decorators:

    @routes.post("/containers/{id}/stop")
    async def stop(call: Call) -> Answer: ...

`{id}` matches one part of a path, `{name*}` any number of them (names of images hold slashes). Docker's
clients put the version that they speak before the path, `/v1.47/containers/json`; it is checked and taken
off here, so that no other module knows of it. A path is looked up by its method and its first part, then
matched in order.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import unquote

import msgspec
from aiohttp import web

from cutaway.errors import BadInputError, NotFoundError

if TYPE_CHECKING:
    from cutaway.engine import Engine

API_VERSION = (1, 47)
OLDEST_API_VERSION = (1, 24)

Answer: TypeAlias = web.StreamResponse
T = TypeVar("T")

_VERSION = re.compile(r"/v(\d+)\.(\d+)(?=/|$)")
_FALSE = frozenset(("", "0", "no", "false", "none"))


def api_version(version: tuple[int, int] = API_VERSION) -> str:
    """`1.47`."""
    return f"{version[0]}.{version[1]}"


@dataclasses.dataclass(slots=True)
class Call:
    """One request, the engine that it is for, and the parts of its path by name."""

    request: web.BaseRequest
    engine: Engine
    parts: dict[str, str]

    def __getitem__(self, part: str) -> str:
        return self.parts[part]

    def text(self, name: str, default: str = "") -> str:
        """A query parameter."""
        return self.request.query.get(name, default)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A query parameter as Docker reads truth: everything but `0`, `no`, `false`, `none` is true."""
        value = self.request.query.get(name)
        return default if value is None else value.strip().lower() not in _FALSE

    def number(self, name: str) -> int | None:
        """A whole number in the query; None when it is not given. Raises BadInputError for anything else."""
        value = self.request.query.get(name, "")
        if not value:
            return None
        try:
            return int(value)
        except ValueError:
            raise BadInputError(f'query parameter {name} is "{value}", which is not a number') from None

    def moment(self, name: str) -> int | None:
        """A moment in nanoseconds: the query has seconds since the epoch, with or without a fraction.

        None when it is not given; zero means not given for an `until`. Raises BadInputError.
        """
        text = self.text(name)
        if not text or (text == "0" and name == "until"):
            return None
        try:
            whole, _, fraction = text.partition(".")
            return int(whole) * 1_000_000_000 + int((fraction + "000000000")[:9])
        except ValueError:
            raise BadInputError(
                f'{name} is "{text}", which is not a number of seconds since the epoch'
            ) from None

    def filters(self) -> dict[str, list[str]]:
        """The `filters` parameter: `{"label": ["a=b"]}`, or the older `{"label": {"a=b": true}}`."""
        raw = self.request.query.get("filters") or "{}"
        try:
            parsed = msgspec.json.decode(raw, type=dict[str, list[str] | dict[str, bool]])
        except msgspec.MsgspecError:
            raise BadInputError(f"invalid filter: {raw} is not a JSON object of lists") from None
        return {name: list(values) for name, values in parsed.items()}

    async def body(self, type: type[T]) -> T:
        """The JSON body as a value of `type`. An empty body is `{}`. Raises BadInputError."""
        raw = await self.request.read()
        try:
            return msgspec.json.decode(raw.strip() or b"{}", type=type)
        except msgspec.MsgspecError as error:
            raise BadInputError(f"invalid JSON: {error}") from error


Handler: TypeAlias = Callable[[Call], Awaitable[Answer]]


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """A method, a pattern and who answers. `streaming`: cancelled as soon as the client goes away."""

    method: str
    pattern: re.Pattern[str]
    first: str
    handler: Handler
    streaming: bool


class Routes:
    """A table of routes. Tables are added up into one, which then looks up."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], list[Route]] = {}

    def add(self, method: str, path: str, *, streaming: bool = False) -> Callable[[Handler], Handler]:
        """Register a handler; earlier ones win."""

        def register(handler: Handler) -> Handler:
            route = Route(method, _compile(path), path.split("/")[1], handler, streaming)
            self._routes.setdefault((method, route.first), []).append(route)
            return handler

        return register

    def get(self, path: str, *, streaming: bool = False) -> Callable[[Handler], Handler]:
        """Register for GET (and HEAD)."""
        return self.add("GET", path, streaming=streaming)

    def post(self, path: str, *, streaming: bool = False) -> Callable[[Handler], Handler]:
        """Register for POST."""
        return self.add("POST", path, streaming=streaming)

    def put(self, path: str) -> Callable[[Handler], Handler]:
        """Register for PUT."""
        return self.add("PUT", path)

    def delete(self, path: str) -> Callable[[Handler], Handler]:
        """Register for DELETE."""
        return self.add("DELETE", path)

    def include(self, tables: Iterable[Routes]) -> None:
        """Take over all routes of other tables, after one's own."""
        for table in tables:
            for key, routes in table._routes.items():
                self._routes.setdefault(key, []).extend(routes)

    def find(self, method: str, raw_path: str) -> tuple[Route, dict[str, str]]:
        """The route and the path's decoded parts. Raises NotFoundError; BadInputError for a wrong version."""
        path = without_version(raw_path)
        wanted = "GET" if method == "HEAD" else method
        first = path.split("/", 2)[1] if "/" in path else ""
        for route in self._routes.get((wanted, first), ()):
            if match := route.pattern.fullmatch(path):
                return route, {name: unquote(part) for name, part in match.groupdict().items()}
        raise NotFoundError("page not found")


def without_version(path: str) -> str:
    """Take `/v1.47` off a path. Raises BadInputError, in Docker's words, for a version not spoken here."""
    match = _VERSION.match(path)
    if not match:
        return path
    version = (int(match[1]), int(match[2]))
    if version > API_VERSION:
        raise BadInputError(
            f"client version {api_version(version)} is too new. "
            f"Maximum supported API version is {api_version()}"
        )
    if version < OLDEST_API_VERSION:
        raise BadInputError(
            f"client version {api_version(version)} is too old. Minimum supported API version is "
            f"{api_version(OLDEST_API_VERSION)}, please upgrade your client to a newer version"
        )
    return path[match.end() :]


def _compile(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+\*?)\}", path)
    pattern = "".join(re.escape(part) if index % 2 == 0 else _group(part) for index, part in enumerate(parts))
    return re.compile(pattern)


def _group(name: str) -> str:
    return f"(?P<{name[:-1]}>.+)" if name.endswith("*") else f"(?P<{name}>[^/]+)"


def query_json(call: Call, name: str) -> Any:
    """A query parameter that holds JSON (`buildargs`, `labels`); None when absent. Raises BadInputError."""
    raw = call.text(name)
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw)
    except msgspec.MsgspecError as error:
        raise BadInputError(f"query parameter {name} is not JSON: {error}") from error
