"""`stats`: what containers use, as a table that renews itself, or once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import click

from cutaway.cli import formats, rows
from cutaway.cli.client import path_of
from cutaway.cli.failures import CommandError
from cutaway.cli.session import Session, pass_session
from cutaway.cli.tree import command

HEADERS = {
    "Container": "CONTAINER", "ID": "CONTAINER ID", "Name": "NAME", "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT", "MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}  # fmt: skip
COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
_INTERVAL_SECONDS = 0.5
_HOME_AND_CLEAR = "\x1b[H\x1b[J"


@command("stats", examples=["stats", "stats --no-stream --format '{{.Name}} {{.MemUsage}}' web"])
@click.option("-a", "--all", "everything", is_flag=True, help="Those that have ended too.")
@click.option("--no-stream", is_flag=True, help="Once, and not again and again.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
@click.option("--format", "form", metavar="TEMPLATE", help="A Go template, `table TEMPLATE`, or json.")
@click.argument("containers", nargs=-1, metavar="[CONTAINER...]")
@pass_session
def stats(
    session: Session, *, containers: tuple[str, ...], everything: bool, no_stream: bool, no_trunc: bool,
    form: str | None,
) -> int:  # fmt: skip
    """Show how much processor, memory, network and disk containers use."""
    watch = _Watch(session, lambda: containers or _all(session, everything=everything))
    if no_stream or session.surface == "notebook":
        _show(session, watch.once(), no_trunc=no_trunc, form=form)
        return 0
    try:
        while True:
            found = watch.once()
            if session.streams.stdout_tty:
                session.streams.stdout(_HOME_AND_CLEAR.encode())
            _show(session, found, no_trunc=no_trunc, form=form)
            if containers and not found:
                return 0
            time.sleep(_INTERVAL_SECONDS)
    except KeyboardInterrupt:
        return 0  # watching has no other end


def _all(session: Session, *, everything: bool) -> tuple[str, ...]:
    return tuple(item["Id"] for item in session.api.json("GET", "/containers/json", all=everything))


class _Watch:
    """Asks for all containers at once: each answer takes a second, in which two readings are compared."""

    def __init__(self, session: Session, names: Callable[[], tuple[str, ...]]) -> None:
        self._api, self._names = session.api, names
        self._first = True

    def once(self) -> list[tuple[str, Mapping[str, Any]]]:
        """(name as asked for, statistics). Raises CommandError the first time for an unknown container."""
        names = self._names()
        found: dict[int, Mapping[str, Any]] = {}
        failures: list[CommandError] = []

        def ask(index: int, name: str) -> None:
            try:
                found[index] = self._api.json("GET", path_of("containers", name, "stats"), stream="0")
            except CommandError as error:
                failures.append(error)

        threads = [threading.Thread(target=ask, args=pair, daemon=True) for pair in enumerate(names)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures and self._first:
            raise failures[0]
        self._first = False
        return [(names[index], found[index]) for index in sorted(found)]


def _show(
    session: Session, found: list[tuple[str, Mapping[str, Any]]], *, no_trunc: bool, form: str | None
) -> None:
    rows.show(session, [row(name, one, whole=no_trunc) for name, one in found], HEADERS, COLUMNS, form)


def row(name: str, found: Mapping[str, Any], *, whole: bool) -> dict[str, str]:
    """The columns of one answer of `GET /containers/{id}/stats`; `--` for one that does not run."""
    runs = not found["read"].startswith("0001-")
    used, limit = memory_in_use(found["memory_stats"]), found["memory_stats"].get("limit", 0)
    networks = (found.get("networks") or {}).values()
    received, sent = (sum(one[key] for one in networks) for key in ("rx_bytes", "tx_bytes"))
    blocks = found["blkio_stats"].get("io_service_bytes_recursive") or ()
    read, written = (
        sum(one["value"] for one in blocks if one["op"].lower() == op) for op in ("read", "write")
    )
    shown = {
        "CPUPerc": f"{processor_share(found):.2f}%",
        "MemUsage": f"{formats.memory(used)} / {formats.memory(limit)}",
        "MemPerc": f"{100 * used / limit if limit else 0:.2f}%",
        "NetIO": f"{formats.size(received)} / {formats.size(sent)}",
        "BlockIO": f"{formats.size(read)} / {formats.size(written)}",
        "PIDs": str(found["pids_stats"].get("current", 0)),
    }
    if not runs:
        shown = {key: "-- / --" if key in ("MemUsage", "NetIO", "BlockIO") else "--" for key in shown}
    identity = found["id"] if whole else formats.short_id(found["id"])
    return {"Container": name, "ID": identity, "Name": found["name"].lstrip("/"), **shown}


def memory_in_use(memory: Mapping[str, Any]) -> int:
    """Bytes that cannot be given back: without the file cache that nobody has used of late."""
    usage, parts = memory.get("usage", 0), memory.get("stats") or {}
    cache = parts.get("total_inactive_file", parts.get("inactive_file", 0))
    return int(usage - cache if cache < usage else usage)


def processor_share(found: Mapping[str, Any]) -> float:
    """Per cent of one processor between the two readings."""
    now, before = found["cpu_stats"], found["precpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    return used / passed * now.get("online_cpus", 1) * 100 if used > 0 and passed > 0 else 0.0
