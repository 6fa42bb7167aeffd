"""Looking at one thing closely: inspect, port, top, diff."""

from __future__ import annotations

import json
from typing import Any

import click

from cutaway.cli.client import Api, Json, path_of
from cutaway.cli.failures import CommandError, two_lines
from cutaway.cli.formats import table
from cutaway.cli.session import Session, pass_session
from cutaway.cli.templates import Template
from cutaway.cli.tree import command

KINDS = {"container": "containers", "image": "images", "network": "networks", "volume": "volumes"}
CHANGES = {0: "C", 1: "A", 2: "D"}


@command(
    "inspect",
    examples=["inspect web", "inspect -f '{{.State.ExitCode}}' job", "inspect --type image busybox"],
)
@click.option("-f", "--format", "form", metavar="TEMPLATE", help="A Go template, or json.")
@click.option("-s", "--size", is_flag=True, help="Sizes too, of a container.")
@click.option("--type", "kind", metavar="KIND", help="container, image, network or volume.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@pass_session
def inspect(
    session: Session, *, names: tuple[str, ...], form: str | None, size: bool, kind: str | None
) -> int:
    """Print everything that the engine knows of containers, images, networks."""
    if kind is not None and kind not in KINDS:
        raise CommandError(
            f'"{kind}" is not a valid value for --type', f"one of {', '.join(KINDS)}", exit_code=125
        )
    template = Template(form) if form and form != "json" else None
    found, failures = [], []
    for name in names:
        try:
            found.append(_find(session.api, name, kind, size=size))
        except CommandError as error:
            failures.append(error)
    if template is not None:
        for item in found:
            session.streams.out(template.render(item))
    elif form == "json":
        for item in found:
            session.streams.out(json.dumps(item, separators=(",", ":"), ensure_ascii=False))
    elif found or not failures:
        session.streams.out(json.dumps(found, indent=4, ensure_ascii=False))
    for failure in failures[:-1]:
        session.streams.err(two_lines(failure))
    if failures:
        raise failures[-1]
    return 0


def _find(api: Api, name: str, kind: str | None, *, size: bool) -> Json:
    for noun, rooms in KINDS.items():
        if kind not in (None, noun):
            continue
        tail = () if noun in ("network", "volume") else ("json",)
        try:
            return api.json("GET", path_of(rooms, name, *tail), size=size and noun == "container")
        except CommandError as error:
            if error.status not in (404, 405, 501) or kind == noun:
                raise
    raise CommandError(f"no such object: {name}", "`ps -a` and `images` list what there is")


@command("port", examples=["port web", "port web 80/tcp"])
@click.argument("container")
@click.argument("wanted", required=False, metavar="[PORT[/PROTOCOL]]")
@pass_session
def port(session: Session, *, container: str, wanted: str | None) -> int:
    """Print where a container's ports are published."""
    seen = session.api.json("GET", path_of("containers", container, "json"))
    listed: dict[str, Any] = seen["NetworkSettings"].get("Ports") or {}
    if wanted is not None:
        key = wanted if "/" in wanted else f"{wanted}/tcp"
        if not listed.get(key):
            raise CommandError(
                f"no public port '{key}' published for {container}", f"`port {container}` lists them"
            )
        for place in listed[key]:
            session.streams.out(_place(place))
        return 0
    for key in sorted(listed, key=lambda text: (int(text.partition("/")[0]), text)):
        for place in listed[key] or ():
            session.streams.out(f"{key} -> {_place(place)}")
    return 0


def _place(place: dict[str, str]) -> str:
    address = place.get("HostIp") or "0.0.0.0"
    return f"[{address}]:{place['HostPort']}" if ":" in address else f"{address}:{place['HostPort']}"


@command("top", examples=["top web", "top web -o pid,comm"], program_follows=True)
@click.argument("container")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[PS OPTIONS]")
@pass_session
def top(session: Session, *, container: str, words: tuple[str, ...]) -> int:
    """List the processes of a container, with the pids that they have outside."""
    params = {"ps_args": " ".join(words)} if words else {}
    seen = session.api.json("GET", path_of("containers", container, "top"), **params)
    session.streams.out(table([seen["Titles"], *seen["Processes"]]))
    return 0


@command("diff", examples=["diff web"])
@click.argument("container")
@pass_session
def diff(session: Session, *, container: str) -> int:
    """List what changed in a container's files: A added, C changed, D deleted."""
    for change in session.api.json("GET", path_of("containers", container, "changes")) or ():
        session.streams.out(f"{CHANGES[change['Kind']]} {change['Path']}")
    return 0
