"""Which containers a list or a prune is about: Docker's filters.

Several values of one filter are alternatives, but every label has to be there; several filters have to hold
together. (moby, daemon/list.go and daemon/prune.go)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable

from cutaway import moments
from cutaway.container.records import EXITED, Record, seconds_since_epoch
from cutaway.container.shelf import Shelf
from cutaway.errors import BadInputError, CutawayError
from cutaway.network.ports import PortMap
from cutaway.store.images import Images

Filters = dict[str, list[str]]

FILTERS = (
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "name", "network",
    "publish", "since", "status", "volume",
)  # fmt: skip
VALUES = {
    "status": ("created", "restarting", "running", "removing", "paused", "exited", "dead"),
    "health": ("none", "starting", "healthy", "unhealthy"),
    "is-task": ("0", "1", "false", "true"),
}
_PRUNE_FILTERS = ("label", "label!", "until")


def choose(shelf: Shelf, filters: Filters, *, all: bool, limit: int, images: Images) -> list[Record]:
    """The newest first. Without `all`, `limit` or a filter by status only those that run.

    Raises BadInputError for a filter that is none, NotFoundError for a container that one names.
    """
    _check(filters, FILTERS)
    records = [kept.record for kept in shelf if not kept.record.quiet]
    records.sort(key=lambda record: record.created, reverse=True)
    if not (all or limit > 0 or filters.get("status")):
        records = [record for record in records if record.state.active]
    records = list(filter(matcher(filters), records))
    records = _by_image(records, filters.get("ancestor", ()), images)
    records = _by_age(records, filters, shelf)
    return records[:limit] if limit > 0 else records


def prunable(shelf: Shelf, filters: Filters) -> list[Record]:
    """Those that do not run, for `prune`; `until` is about when they were made. Raises BadInputError."""
    _check(filters, _PRUNE_FILTERS)
    if len(filters.get("until", ())) > 1:
        raise BadInputError("more than one until filter specified")
    end = [_moment(text) for text in filters.get("until", ())]
    still = (kept.record for kept in shelf if not kept.record.state.active and not kept.record.quiet)
    return [
        record
        for record in still
        if all(_has_label(record, value) for value in filters.get("label", ()))
        and not any(_has_label(record, value) for value in filters.get("label!", ()))
        and all(seconds_since_epoch(record.created) <= moment for moment in end)
    ]


def matcher(filters: Filters) -> Callable[[Record], bool]:
    """A test for the filters that need only the record. Raises BadInputError for a malformed value."""
    codes = [_number(value) for value in filters.get("exited", ())]
    wanted = {name: _ports(filters.get(name, ()), name) for name in ("publish", "expose")}
    tests: dict[str, Callable[[Record, str], bool]] = {
        "status": lambda record, value: record.state.status == value,
        "health": lambda record, value: (
            (record.state.health.status if record.state.health else "none") == value
        ),
        "is-task": lambda record, value: value in ("0", "false"),  # there is no swarm whose tasks they were
        "name": _has_name,
        "id": lambda record, value: _found(value, record.id),
        "network": lambda record, value: record.network == value,
        "volume": lambda record, value: any(
            value in (mount.name, mount.source, mount.destination) for mount in record.mounts
        ),
    }
    asked = [(tests[name], filters[name]) for name in tests if filters.get(name)]
    labels = filters.get("label", ())

    def matches(record: Record) -> bool:
        return (
            all(_has_label(record, value) for value in labels)
            and all(any(test(record, value) for value in values) for test, values in asked)
            and (not codes or (record.state.status == EXITED and record.state.exit_code in codes))
            and (not any(wanted.values()) or _has_port(record, wanted["publish"], wanted["expose"]))
        )

    return matches


def _check(filters: Filters, known: Collection[str]) -> None:
    for name, values in filters.items():
        if name not in known:
            raise BadInputError(f"invalid filter '{name}'", f"filters are: {', '.join(known)}")
        for value in values:
            if name in VALUES and value not in VALUES[name]:
                raise BadInputError(f"invalid filter '{name}={value}'", f"one of {', '.join(VALUES[name])}")


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadInputError(f"invalid filter 'exited={text}'", "an exit code is a number") from None


def _moment(text: str) -> float:
    try:
        return float(moments.moment(text))
    except ValueError as error:
        raise BadInputError(
            f"invalid filter 'until={text}': {error}", "write 24h, 2025-01-31T10:00:00 or seconds since 1970"
        ) from None


def _ports(texts: Iterable[str], name: str) -> set[tuple[int, str]]:
    """Of `80`, `80/udp`, `80-90/tcp`: every number with its protocol."""
    found = set()
    for text in texts:
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", text)
        if match is None:
            raise BadInputError(f"invalid filter '{name}={text}'", "write 80, 80/udp or 80-90/tcp")
        for number in range(int(match[1]), int(match[2] or match[1]) + 1):
            found.add((number, match[3] or "tcp"))
    return found


def _has_port(record: Record, published: set[tuple[int, str]], exposed: set[tuple[int, str]]) -> bool:
    """Whether a port is among those of this machine, or among those of the container."""
    places: PortMap = record.endpoint.ports if record.endpoint else {}
    for text, outside in places.items():
        number, _, protocol = text.partition("/")
        if (int(number), protocol or "tcp") in exposed:
            return True
        if any((int(place["HostPort"]), protocol or "tcp") in published for place in outside or ()):
            return True
    return False


def _by_image(records: list[Record], ancestors: Iterable[str], images: Images) -> list[Record]:
    wanted = list(ancestors)
    if not wanted:
        return records
    ids: set[str] = set()
    tops: list[list[str]] = []
    for text in wanted:
        try:
            image = images.resolve(text)
        except CutawayError:
            continue  # Docker: an unknown ancestor has no descendants
        ids.add(str(image.id))
        tops.append([str(layer) for layer in image.layers])
    return [r for r in records if r.image in ids or any(r.layers[: len(top)] == top for top in tops if top)]


def _by_age(records: list[Record], filters: Filters, shelf: Shelf) -> list[Record]:
    for text in filters.get("before", ()):
        bound = shelf.find(text).record.created
        records = [record for record in records if record.created < bound]
    for text in filters.get("since", ()):
        bound = shelf.find(text).record.created
        records = [record for record in records if record.created > bound]
    return records


def _has_label(record: Record, wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in record.config.labels and (not equals or record.config.labels[name] == value)


def _has_name(record: Record, wanted: str) -> bool:
    return _found(wanted, record.name) or _found(wanted, f"/{record.name}")


def _found(pattern: str, text: str) -> bool:
    """A part of the text, or a regular expression that finds one: `web`, `^/web$`."""
    try:
        return pattern in text or re.search(pattern, text) is not None
    except re.error:
        return False
