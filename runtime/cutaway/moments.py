"""Time as people write and read it: durations, moments of filters and `--since`, ages in `ps`."""

from __future__ import annotations

import datetime
import re
import time

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """Seconds in Go's durations: `1h30m`, `10s`, `500ms`. Raises ValueError."""
    pieces = _DURATION.findall(text)
    if not pieces or "".join(number + unit for number, unit in pieces) != text:
        raise ValueError(f'time: invalid duration "{text}"')
    return float(sum(float(number) * _SECONDS[unit] for number, unit in pieces))


def moment(text: str) -> str:
    """Seconds since the epoch, with nine decimals, as the API takes them. Raises ValueError.

    `10m` (ago), `1700000000`, `2025-01-31`, `2025-01-31T10:00:00`, with or without a zone.
    """
    if re.fullmatch(r"\d+(\.\d{1,9})?", text):
        return text
    try:
        return f"{time.time() - seconds(text):.9f}"
    except ValueError:
        pass
    try:
        when = datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        raise ValueError("neither a moment nor a duration") from None
    return f"{when.timestamp():.9f}"


def duration(seconds: float) -> str:
    """A span of time as `docker ps` says it (docker/go-units, HumanDuration)."""
    whole = int(seconds)
    minutes, hours = whole // 60, int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{hours // 24 // 365} years"
