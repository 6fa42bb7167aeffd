"""`version` and `info`: the client and the engine about themselves."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

import click

import cutaway
from cutaway.cli import formats
from cutaway.cli.client import API_VERSION
from cutaway.cli.failures import CommandError
from cutaway.cli.session import Session, pass_session
from cutaway.cli.templates import Template
from cutaway.cli.tree import command
from cutaway.errors import CutawayError


@command("version", examples=["version", "version --format '{{.Server.Version}}'"])
@click.option("-f", "--format", "form", metavar="TEMPLATE", help="A Go template, or json.")
@pass_session
def version(session: Session, *, form: str | None) -> int:
    """Show the versions of the client and of the engine."""
    client = {
        "Version": cutaway.__version__,
        "ApiVersion": API_VERSION,
        "Python": platform.python_version(),
        "Os": "linux",
        "Arch": platform.machine(),
    }
    try:
        server = session.api.json("GET", "/version")
        failure = None
    except CutawayError as error:
        server, failure = None, error
    if form:
        if failure:
            raise failure
        both = {"Client": client, "Server": server}
        session.streams.out(Template("{{json .}}" if form == "json" else form).render(both))
        return 0
    for line in _version_lines(client, server):
        session.streams.out(line)
    if failure:
        raise failure
    return 0


def _version_lines(client: dict[str, str], server: dict[str, Any] | None) -> Iterator[str]:
    yield "Client: Cutaway"
    yield from _fields(
        ("Version", client["Version"]), ("API version", client["ApiVersion"]),
        ("Python version", client["Python"]), ("OS/Arch", f"linux/{client['Arch']}"),
    )  # fmt: skip
    if server is None:
        return
    yield ""
    yield f"Server: {(server.get('Platform') or {}).get('Name', '')}".rstrip()
    for part in server.get("Components") or [{"Name": "Engine", "Version": server["Version"]}]:
        yield f" {part['Name']}:"
        details = part.get("Details") or {}
        api = details.get("ApiVersion")
        yield from _fields(
            ("Version", part["Version"]),
            ("API version", f"{api} (minimum version {details.get('MinAPIVersion')})" if api else ""),
            ("OS/Arch", f"{details['Os']}/{details['Arch']}" if details.get("Arch") else ""),
            ("Kernel", details.get("KernelVersion", "")),
            indent=2,
        )


def _fields(*pairs: tuple[str, str], indent: int = 1) -> Iterator[str]:
    for name, value in pairs:
        if value:
            yield f"{' ' * indent}{name + ':':<19}{value}"


@command("info", examples=["info", "info --format '{{.Driver}} {{.CgroupVersion}}'"])
@click.option("-f", "--format", "form", metavar="TEMPLATE", help="A Go template, or json.")
@pass_session
def info(session: Session, *, form: str | None) -> int:
    """Show what the engine has, and what kind of machine it is on."""
    seen = session.api.json("GET", "/info")
    if form:
        session.streams.out(Template("{{json .}}" if form == "json" else form).render(seen))
        return 0
    session.streams.out("\n".join(info_lines(seen)))
    if seen.get("Warnings"):
        session.streams.err("\n".join(seen["Warnings"]))
    if seen.get("ServerErrors"):
        raise CommandError("; ".join(seen["ServerErrors"]))
    return 0


def info_lines(seen: dict[str, Any]) -> Iterator[str]:
    """The answer of `GET /info` in Docker's order."""
    yield f"Containers: {seen['Containers']}"
    for state in ("Running", "Paused", "Stopped"):
        yield f" {state}: {seen[f'Containers{state}']}"
    yield f"Images: {seen['Images']}"
    yield f"Server Version: {seen['ServerVersion']}"
    yield f"Storage Driver: {seen['Driver']}"
    for name, value in seen.get("DriverStatus") or ():
        yield f" {name}: {value}"
    for title, key in (
        ("Logging Driver", "LoggingDriver"), ("Cgroup Driver", "CgroupDriver"), ("Cgroup Version",
        "CgroupVersion"),
    ):  # fmt: skip
        yield f"{title}: {seen.get(key, '')}"
    plugins = seen.get("Plugins") or {}
    yield "Plugins:"
    yield from (f" {kind}: {' '.join(plugins.get(kind) or ())}" for kind in ("Volume", "Network", "Log"))
    yield f"Runtimes: {' '.join(seen.get('Runtimes') or ())}"
    if seen.get("SecurityOptions"):
        yield "Security Options:"
        yield from (f" {option.removeprefix('name=')}" for option in seen["SecurityOptions"])
    for title, key in (
        ("Kernel Version", "KernelVersion"), ("Operating System", "OperatingSystem"), ("OSType", "OSType"),
        ("Architecture", "Architecture"), ("CPUs", "NCPU"),
    ):  # fmt: skip
        yield f"{title}: {seen.get(key, '')}"
    yield f"Total Memory: {formats.memory(seen.get('MemTotal', 0))}"
    for title, key in (
        ("Name", "Name"),
        ("ID", "ID"),
        ("Root Dir", "DockerRootDir"),
        ("Registry", "IndexServerAddress"),
    ):
        yield f"{title}: {seen.get(key, '')}"
    yield f"Live Restore Enabled: {str(bool(seen.get('LiveRestoreEnabled'))).lower()}"
