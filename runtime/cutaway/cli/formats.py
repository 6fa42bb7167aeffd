"""How Docker prints things: ages, sizes, ports, columns.

Scripts and students' habits rest on these forms, so they are Docker's own to the character
(`units.HumanDuration`, `units.HumanSize`, Go's tabwriter with three spaces between columns).
"""

from __future__ import annotations

import datetime
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cutaway import moments

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def ago(created: float, now: float) -> str:
    """`3 hours ago`."""
    return f"{moments.duration(max(0.0, now - created))} ago"


def moment(seconds: float) -> str:
    """`2025-01-31 10:00:00 +0000 UTC`, local time, as `{{.CreatedAt}}` has it."""
    local = datetime.datetime.fromtimestamp(seconds).astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S %z %Z}"


def size(number: float, digits: int = 3) -> str:
    """`4.43MB`: powers of 1000, that many digits in all."""
    return _size(number, 1000.0, _UNITS, digits)


def memory(number: float) -> str:
    """`3.84GiB`: powers of 1024."""
    return _size(number, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"), 4)


def _size(number: float, base: float, units: Sequence[str], digits: int) -> str:
    index = 0
    while number >= base and index < len(units) - 1:
        number /= base
        index += 1
    text = f"{number:.{digits}g}"
    return f"{float(text):g}{units[index]}" if "e" in text else f"{text}{units[index]}"


def shortened(text: str, length: int) -> str:
    """At most `length` characters, the last of which is then `…`."""
    return text if len(text) <= length else text[: length - 1] + "…"


def short_id(identity: str) -> str:
    """Twelve hex digits of an id, with or without its algorithm."""
    return identity.removeprefix("sha256:")[:12]


def ports(listed: Iterable[Mapping[str, Any]]) -> str:
    """`0.0.0.0:8080->80/tcp, 90/tcp`; neighbours become one range: `81-83/tcp`."""
    groups: list[dict[str, Any]] = []
    shown: list[tuple[int, str]] = []
    key = lambda port: (port["PrivatePort"], port.get("PublicPort", 0), port.get("IP", ""), port["Type"])  # noqa: E731
    for port in sorted(listed, key=key):
        public, private = port.get("PublicPort", 0), port["PrivatePort"]
        address = port.get("IP", "")
        where = f"[{address}]" if ":" in address else address
        if public and public != private:
            shown.append((private, f"{where}:{public}->{private}/{port['Type']}"))
            continue
        last = next(
            (group for group in groups
             if group["where"] == where and group["type"] == port["Type"] and bool(public) == group["public"]
             and group["last"] == private - 1), None,
        )  # fmt: skip
        if last:
            last["last"] = private
        else:
            groups.append(
                {
                    "where": where,
                    "type": port["Type"],
                    "public": bool(public),
                    "first": private,
                    "last": private,
                }
            )
    for group in groups:
        span = str(group["first"]) if group["first"] == group["last"] else f"{group['first']}-{group['last']}"
        text = (
            f"{group['where']}:{span}->{span}/{group['type']}"
            if group["public"]
            else f"{span}/{group['type']}"
        )
        shown.append((group["first"], text))
    return ", ".join(text for _, text in sorted(shown, key=lambda item: item[0]))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as Go's tabwriter makes them: at least ten wide, three spaces apart, the last one ragged."""
    if not rows:
        return ""
    widths = [
        max(10, *(width_of(row[index]) + 3 for row in rows)) for index in range(max(len(row) for row in rows))
    ]
    lines = []
    for row in rows:
        cells = [cell + " " * (widths[index] - width_of(cell)) for index, cell in enumerate(row[:-1])]
        lines.append("".join([*cells, row[-1]]))
    return "\n".join(lines)


def width_of(text: str) -> int:
    """How many columns a terminal needs for it: Chinese characters take two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )
