"""`logs`: what a container has said, and what it goes on saying."""

from __future__ import annotations

import click

from cutaway.cli import values
from cutaway.cli.client import path_of
from cutaway.cli.failures import CommandError, InterruptedCommandError
from cutaway.cli.hijack import STDERR
from cutaway.cli.session import Session, pass_session
from cutaway.cli.tree import command


@command("logs", examples=["logs --tail 5 web", "logs -f --since 1m web"])
@click.option("-f", "--follow", is_flag=True, help="Go on as it goes on.")
@click.option("-n", "--tail", default="all", metavar="N", help="Only the last N lines.")
@click.option("--since", type=values.MOMENT, metavar="TIME", help="From then on: 10s, 2025-01-31T10:00:00.")
@click.option("--until", type=values.MOMENT, metavar="TIME", help="Up to then.")
@click.option("-t", "--timestamps", is_flag=True, help="The time before each line.")
@click.option("--details", is_flag=True, help="The labels and variables that --log-opt chose, too.")
@click.argument("container")
@pass_session
def logs(
    session: Session, *, container: str, follow: bool, tail: str, since: str | None, until: str | None,
    timestamps: bool, details: bool,
) -> int:  # fmt: skip
    """Show what a container wrote to its standard output and error."""
    if tail != "all" and not tail.lstrip("-").isdigit():
        raise CommandError(f'invalid value for "tail": {tail}', "a number of lines, or all")
    api, streams = session.api, session.streams
    tty = api.json("GET", path_of("containers", container, "json"))["Config"]["Tty"]
    path = path_of("containers", container, "logs")
    params = {
        "stdout": True, "stderr": True, "follow": follow, "tail": tail, "since": since, "until": until,
        "timestamps": timestamps, "details": details,
    }  # fmt: skip
    try:
        if tty:
            for data in api.pieces(path, **params):
                streams.stdout(data)
        else:
            for number, data in api.frames(path, **params):
                (streams.stderr if number == STDERR else streams.stdout)(data)
    except KeyboardInterrupt:
        raise InterruptedCommandError("the container goes on, and keeps its log") from None
    return 0
