"""`--log-driver` and `--log-opt`: how much of a container's output is kept, and what is written beside it.

Docker's `json-file` keeps everything unless it is told otherwise, its `local` driver five files of 20 MB.
Both are one format here, so whatever reads a log reads either. `max-size` counts as Docker counts it: `10m`
is ten million bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from cutaway.container.spec import Config, HostConfig
from cutaway.errors import BadInputError

_ANY_DRIVER = {"mode", "max-buffer-size"}
_KNOWN = {
    "json-file": {"max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag"},
    "local": {"max-size", "max-file", "compress"},
}
_DEFAULTS = {"local": {"max-size": "20m", "max-file": "5"}}
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}


class LogOptions(msgspec.Struct, frozen=True):
    """What the keeper is told. `max_size` in bytes, 0 without limit; `attrs` are written into each record."""

    max_size: int = 0
    max_files: int = 1
    attrs: dict[str, str] = {}


def log_options(config: Config, host: HostConfig) -> LogOptions | None:
    """Of a container; None when it has no log. Raises BadInputError in Docker's words."""
    driver = host.log_config.type or "json-file"
    given = host.log_config.config or {}
    if driver == "none":
        return None
    if driver not in _KNOWN:
        raise BadInputError(
            f"logger: no log driver named '{driver}' is registered", "there are json-file, local and none"
        )
    for name in given:
        if name not in _KNOWN[driver] | _ANY_DRIVER:
            raise BadInputError(
                f"unknown log opt '{name}' for {driver} log driver",
                f"there are {', '.join(sorted(_KNOWN[driver]))}",
            )
    if given.get("mode", "blocking") not in ("blocking", "non-blocking"):
        raise BadInputError(f"logger mode {given['mode']!r} is not supported", "blocking or non-blocking")
    options = _DEFAULTS.get(driver, {}) | given
    return LogOptions(_max_size(options), _max_files(options), dict(_attributes(config, given)))


def warnings(host: HostConfig) -> Iterator[str]:
    """What is taken differently than asked."""
    given = host.log_config.config or {}
    if given.get("compress") not in (None, "", "false", "0"):
        yield "Log files are not compressed: compress is ignored."
    if given.get("tag"):
        yield "Log records carry no tag: tag is ignored."
    if given.get("mode") == "non-blocking":
        yield "A log is always written as it comes: mode=non-blocking is ignored."


def _max_size(options: dict[str, str]) -> int:
    if "max-size" not in options:
        return 0
    text = options["max-size"]
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", text.lower())
    if not match:
        raise BadInputError(f"invalid size: '{text}'", "max-size is a number of bytes with k, m or g")
    size = int(float(match[1]) * _UNITS[match[2]])
    if size <= 0:
        raise BadInputError("max-size must be a positive number", "such as 10m")
    return size


def _max_files(options: dict[str, str]) -> int:
    text = options.get("max-file", "1")
    if not re.fullmatch(r"-?\d+", text):
        raise BadInputError(f"invalid max-file: '{text}'", "a number of files, at least 1")
    if int(text) < 1:
        raise BadInputError("max-file cannot be less than 1")
    return int(text)


def _attributes(config: Config, given: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The labels and variables that `labels`, `env` and their -regex forms name."""
    variables = dict(variable.partition("=")[::2] for variable in config.env)
    for kind, values in (("labels", config.labels or {}), ("env", variables)):
        names = given.get(kind, "").split(",")
        pattern = given.get(f"{kind}-regex", "")
        try:
            matches = re.compile(pattern).search if pattern else None
        except re.error as error:
            raise BadInputError(f"invalid {kind}-regex: {pattern}", str(error)) from error
        for name, value in values.items():
            if name in names or (matches and matches(name)):
                yield name, value
