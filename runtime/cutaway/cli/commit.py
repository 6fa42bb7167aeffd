"""`commit`: a container's changes become an image."""

from __future__ import annotations

import click

from cutaway.cli.client import path_of
from cutaway.cli.session import Session, pass_session
from cutaway.cli.transfer import split_name
from cutaway.cli.tree import command


@command("commit", examples=["commit web shop:1", "commit -m fixed -c 'CMD [\"redis-server\"]' web redis"])
@click.option("-m", "--message", metavar="TEXT", help="A note for the history.")
@click.option("-a", "--author", metavar="NAME", help="Who made it.")
@click.option("-c", "--change", "changes", multiple=True, metavar="LINE", help="A Dockerfile line to apply.")
@click.option("-p", "--pause", is_flag=True, help="Freeze the container meanwhile (the default).")
@click.option("--no-pause", is_flag=True, help="Let the container go on meanwhile.")
@click.argument("container")
@click.argument("name", required=False, metavar="[REPOSITORY[:TAG]]")
@pass_session
def commit(
    session: Session,
    *,
    container: str,
    name: str | None,
    message: str | None,
    author: str | None,
    changes: tuple[str, ...],
    pause: bool,
    no_pause: bool,
) -> int:
    """Make an image of a container and what it changed."""
    repository, tag = split_name(name) if name else ("", "")
    query = "&".join(f"changes={path_of(change)[1:]}" for change in changes)
    made = session.api.json(
        "POST", f"/commit?{query}" if query else "/commit",
        container=container, repo=repository, tag=tag, comment=message, author=author,
        pause=pause or 0 if no_pause else None,
    )  # fmt: skip
    session.streams.out(made["Id"])
    return 0
