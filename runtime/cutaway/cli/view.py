"""`view`: the views open in a notebook. The magic routes this command there; a terminal can only say so."""

from __future__ import annotations

import click

from cutaway.cli.failures import CommandError
from cutaway.cli.session import Session, pass_session
from cutaway.cli.tree import command


@command("view", examples=["view layers busybox", "view namespaces web db"])
@click.argument("name", metavar="layers|namespaces")
@click.argument("words", nargs=-1, metavar="[NAME...]")
@pass_session
def view(session: Session, *, name: str, words: tuple[str, ...]) -> int:
    """Draw the layers of an image, or the namespaces of containers."""
    typed = " ".join(["%container view", name, *words])
    raise CommandError("views open in a notebook", f"`cutaway lab` opens one; there: {typed}")
