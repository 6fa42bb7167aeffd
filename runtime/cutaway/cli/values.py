"""What users write for a flag, read into what Docker's API takes: sizes, ports, volumes, variables.

Each function raises ValueError with Docker's wording; `Value` makes of it the error of the flag that it stood
behind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from cutaway import moments
from cutaway.cli.failures import REFUSED, CommandError

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE)
STREAMS = ("stdin", "stdout", "stderr")


class Value(click.ParamType[Any]):
    """A flag's value that `read` understands."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """What `read` makes of it. Raises CommandError in Docker's words, exit code 125."""
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            flag = ", ".join(param.opts) if param else self.name
            hint = f"see `{ctx.command_path} --help`" if ctx else ""
            raise CommandError(
                f'invalid argument "{value}" for "{flag}" flag: {error}', hint, exit_code=REFUSED
            ) from error


def stream(text: str) -> str:
    """`stdin`, `STDOUT`: one of a program's three streams, in small letters."""
    if text.lower() not in STREAMS:
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


def size(text: str) -> int:
    """Bytes in `64m`, `1.5g`, `1024`; the units are powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"invalid size: '{text}'")
    power = " kmgtp".index(match[2].lower() or " ")
    return int(Decimal(match[1]) * 1024**power)


def swap(text: str) -> int:
    """As `size`; -1 is no limit."""
    return -1 if text == "-1" else size(text)


def nano_cpus(text: str) -> int:
    """Thousand millionths of a processor in `1.5`."""
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"failed to parse {text} as a rational number") from error
    if not value.is_finite() or value < 0:
        raise ValueError("not a number of processors")
    return int(value * 10**9)


def variables(texts: Iterable[str], files: Iterable[str], environ: Mapping[str, str]) -> list[str]:
    """`NAME=value` from `-e` and `--env-file`; a NAME alone takes its value from here, if it has one.

    Raises CommandError for a file that cannot be read.
    """
    found = [*lines_of(files, "env"), *texts]
    result = []
    for text in found:
        name, equals, _ = text.partition("=")
        if not name:
            raise CommandError(f'invalid environment variable: "{text}"', exit_code=REFUSED)
        if equals:
            result.append(text)
        elif name in environ:
            result.append(f"{name}={environ[name]}")
    return result


def lines_of(files: Iterable[str], kind: str) -> list[str]:
    """The lines of `--env-file` and `--label-file`, without empty ones and comments. Raises CommandError."""
    found: list[str] = []
    for file in files:
        try:
            lines = Path(file).expanduser().read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise CommandError(f"cannot read the {kind} file {file}: {reason}", exit_code=REFUSED) from error
        found += (line.lstrip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return found


def extra_host(text: str) -> str:
    """Of `--add-host`: `name=address` and `name:address` become the latter. Raises ValueError."""
    name, separator, address = text.partition("=" if "=" in text else ":")
    if not name or not separator or not address:
        raise ValueError(f'bad format for add-host: "{text}"')
    return f"{name}:{address.strip('[]')}"


def device_rate(text: str, read: Callable[[str], int] = int) -> dict[str, Any]:
    """Of `--device-read-bps /dev/sda:1mb`: path and rate. Raises ValueError."""
    path, colon, rate = text.rpartition(":")
    if not colon or not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    try:
        number = read(rate)
    except ValueError:
        number = -1
    if number < 0:
        raise ValueError(f"invalid rate for device: {text}. The correct format is <device-path>:<number>")
    return {"Path": path, "Rate": number}


def device_weight(text: str) -> dict[str, Any]:
    """Of `--blkio-weight-device /dev/sda:500`: path and weight. Raises ValueError."""
    path, colon, weight = text.rpartition(":")
    if not colon or not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    if not weight.isdigit() or not (int(weight) == 0 or 10 <= int(weight) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": path, "Weight": int(weight)}


def nanoseconds(text: str) -> int:
    """Nanoseconds in Go's durations; none may be negative. Raises ValueError."""
    if text.startswith("-"):
        raise ValueError("a time cannot be negative")
    return 0 if text == "0" else round(moments.seconds(text) * 1e9)


def labels(texts: Iterable[str]) -> dict[str, str]:
    """`name=value`; a name alone has the empty value."""
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def volume(text: str) -> tuple[str, str]:
    """Of `-v`: ("", target) for a volume without a name, else (target, the bind as the API takes it).

    A host path that begins with a dot or a tilde becomes absolute, as Docker's client does it.
    """
    parts = text.split(":")
    if not text or len(parts) > 3 or any(not part for part in parts):
        raise ValueError(f"invalid volume specification: '{text}'")
    if len(parts) == 1:
        if not text.startswith("/"):
            raise ValueError(f"invalid volume specification: '{text}': mount path must be absolute")
        return "", text
    source, target = parts[0], parts[1]
    if source.startswith(("/", ".", "~")):
        source = os.path.abspath(os.path.expanduser(source))  # noqa: PTH100, PTH111 - Path keeps `a/../b`
    if not target.startswith("/"):
        raise ValueError(f"invalid volume specification: '{text}': mount path must be absolute")
    return target, ":".join([source, *parts[1:]])


def port_bindings(texts: Iterable[str]) -> dict[str, list[dict[str, str]]]:
    """Of `-p`: `{"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}`.

    Forms: `80`, `8080:80`, `127.0.0.1:8080:80`, `127.0.0.1::80`, `[::1]:8080:80`, each with `/udp`, and
    ranges of one length on both sides, `8000-8002:80-82`. Raises ValueError.
    """
    found: dict[str, list[dict[str, str]]] = {}
    for text in texts:
        address, host, container, protocol = _port_parts(text)
        inside = _port_range(container, "containerPort")
        outside = _port_range(host, "hostPort") if host else []
        if outside and len(outside) != len(inside):
            if len(inside) > 1:
                raise ValueError(f"invalid ranges specified for container and host Ports: {text}")
            outside = [0]  # a range for one port: the engine takes a free one of it
        for index, port in enumerate(inside):
            chosen = host if outside == [0] else str(outside[index]) if outside else ""
            found.setdefault(f"{port}/{protocol}", []).append({"HostIp": address, "HostPort": chosen})
    return found


def exposed(texts: Iterable[str]) -> dict[str, dict[str, str]]:
    """Of `--expose`: `{"80/tcp": {}}`. Raises ValueError."""
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        ports, _, protocol = text.partition("/")
        found |= {f"{port}/{protocol or 'tcp'}": {} for port in _port_range(ports, "containerPort")}
    return found


def _port_parts(text: str) -> tuple[str, str, str, str]:
    rest, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in ("tcp", "udp", "sctp"):
        raise ValueError(f"invalid proto: {protocol}")
    address = ""
    if rest.startswith("["):
        address, bracket, rest = rest[1:].partition("]:")
        if not bracket:
            raise ValueError(f"invalid publish opts format: {text}")
    parts = rest.split(":")
    if len(parts) > (2 if address else 3):
        raise ValueError(f"invalid publish opts format: {text}")
    container = parts[-1]
    host = parts[-2] if len(parts) > 1 else ""
    if not container:
        raise ValueError(f"no port specified: {text}<empty>")
    return address or (parts[0] if len(parts) == 3 else ""), host, container, protocol


def _port_range(text: str, what: str) -> list[int]:
    first, dash, last = text.partition("-")
    try:
        low, high = int(first), int(last if dash else first)
    except ValueError:
        raise ValueError(f"invalid {what}: {text}") from None
    if not 0 < low <= high < 65536:
        raise ValueError(f"invalid {what}: {text}")
    return list(range(low, high + 1))


def filters(texts: Iterable[str]) -> dict[str, list[str]] | None:
    """Of `--filter name=value`: the API's `filters`; None without any. Raises CommandError."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise CommandError(
                f'invalid argument "{text}" for "-f, --filter" flag: invalid filter',
                "write it as name=value",
                exit_code=REFUSED,
            )
        found.setdefault(name.strip().lower(), []).append(value.strip())
    return found or None


STREAM = Value("stream", stream)
SIZE = Value("bytes", size)
SWAP = Value("bytes", swap)
CPUS = Value("number", nano_cpus)
VOLUME = Value("volume", volume)
MOMENT = Value("time", moments.moment)
DURATION = Value("duration", moments.seconds)
NANOSECONDS = Value("duration", nanoseconds)
RATE = Value("device", device_rate)
RATE_BYTES = Value("device", lambda text: device_rate(text, size))
WEIGHT = Value("device", device_weight)
