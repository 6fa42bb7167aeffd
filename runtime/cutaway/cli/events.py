"""`events`: what happens in the engine, a line for each deed."""

from __future__ import annotations

import datetime
import json
from typing import Any

import click

from cutaway.cli import values
from cutaway.cli.session import Session, pass_session
from cutaway.cli.templates import Template
from cutaway.cli.tree import command


@command(
    "events", examples=["events --since 10m --until 0s", "events --filter event=die --filter container=web"]
)
@click.option("--since", type=values.MOMENT, metavar="TIME", help="From then on: 10m, 2025-01-31T10:00:00.")
@click.option(
    "--until", type=values.MOMENT, metavar="TIME", help="Up to then; without it, until interrupted."
)
@click.option(
    "-f", "--filter", "conditions", multiple=True, metavar="NAME=VALUE", help="Only those that match."
)
@click.option("--format", "form", metavar="TEMPLATE", help="A Go template, or json.")
@pass_session
def events(
    session: Session, *, since: str | None, until: str | None, conditions: tuple[str, ...], form: str | None
) -> int:
    """Show what happens in the engine, as it happens."""
    template = Template(form) if form and form != "json" else None
    try:
        for event in session.api.lines(
            "GET", "/events", since=since, until=until, filters=values.filters(conditions)
        ):
            if form == "json":
                session.streams.out(json.dumps(event, separators=(",", ":"), ensure_ascii=False))
            else:
                session.streams.out(template.render(event) if template else line_of(event))
    except KeyboardInterrupt:
        return 130  # watching has no other end
    return 0


def line_of(event: dict[str, Any]) -> str:
    """`2025-01-31T10:00:00.123456789+00:00 container die 4f… (exitCode=0, image=busybox, name=job)`."""
    nanoseconds = event.get("timeNano") or event["time"] * 10**9
    when = datetime.datetime.fromtimestamp(nanoseconds // 10**9).astimezone()
    zone = when.strftime("%z")
    moment = f"{when:%Y-%m-%dT%H:%M:%S}.{nanoseconds % 10**9:09d}{zone[:3]}:{zone[3:5]}"
    actor = event["Actor"]
    told = ", ".join(f"{name}={value}" for name, value in sorted((actor.get("Attributes") or {}).items()))
    return f"{moment} {event['Type']} {event['Action']} {actor['ID']}" + (f" ({told})" if told else "")
