"""Commands that ask one thing of each container that they are given: stop, kill, rm, wait, ….

A container that cannot be dealt with does not keep the others from it: the rest is done, each failure is
told, and the command ends with 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click

from cutaway.cli.client import path_of
from cutaway.cli.failures import CommandError, two_lines
from cutaway.cli.formats import size
from cutaway.cli.session import Session, pass_session
from cutaway.cli.tree import command
from cutaway.cli.values import filters

containers_argument = click.argument("containers", nargs=-1, required=True, metavar="CONTAINER...")


def for_each(
    session: Session, names: Iterable[str], act: Callable[[str], object], *, told: bool = True
) -> int:
    """Do `act` with each name and print the name (or what `act` gives back as a string).

    Raises the last CommandError after all were tried; those before it are printed.
    """
    failures: list[CommandError] = []
    for name in names:
        try:
            result = act(name)
        except CommandError as error:
            failures.append(error)
        else:
            if told:
                session.streams.out(result if isinstance(result, str) else name)
    for failure in failures[:-1]:
        session.streams.err(two_lines(failure))
    if failures:
        raise failures[-1]
    return 0


@command("stop", examples=["stop web", "stop -t 1 web db"])
@click.option(
    "-t", "--timeout", "--time", type=int, metavar="SECONDS", help="Patience before it is killed (10)."
)
@click.option("-s", "--signal", metavar="SIGNAL", help="What is sent first (TERM).")
@containers_argument
@pass_session
def stop(session: Session, *, containers: tuple[str, ...], timeout: int | None, signal: str | None) -> int:
    """Ask containers to end, and kill those that do not."""
    return _posted(session, containers, "stop", t=timeout, signal=signal)


@command("restart", examples=["restart -t 1 web"])
@click.option(
    "-t", "--timeout", "--time", type=int, metavar="SECONDS", help="Patience before it is killed (10)."
)
@click.option("-s", "--signal", metavar="SIGNAL", help="What is sent first (TERM).")
@containers_argument
@pass_session
def restart(session: Session, *, containers: tuple[str, ...], timeout: int | None, signal: str | None) -> int:
    """Stop containers and start them again."""
    return _posted(session, containers, "restart", t=timeout, signal=signal)


@command("kill", examples=["kill web", "kill -s HUP web"])
@click.option("-s", "--signal", metavar="SIGNAL", help="What to send (KILL).")
@containers_argument
@pass_session
def kill(session: Session, *, containers: tuple[str, ...], signal: str | None) -> int:
    """Send a signal to containers' first processes."""
    return _posted(session, containers, "kill", signal=signal)


@command("pause", examples=["pause web"])
@containers_argument
@pass_session
def pause(session: Session, *, containers: tuple[str, ...]) -> int:
    """Freeze every process of containers."""
    return _posted(session, containers, "pause")


@command("unpause", examples=["unpause web"])
@containers_argument
@pass_session
def unpause(session: Session, *, containers: tuple[str, ...]) -> int:
    """Let frozen containers go on."""
    return _posted(session, containers, "unpause")


@command("rm", examples=["rm web", "rm -f web db"])
@click.option("-f", "--force", is_flag=True, help="Kill it first if it runs.")
@click.option("-v", "--volumes", is_flag=True, help="Remove its nameless volumes too.")
@containers_argument
@pass_session
def rm(session: Session, *, containers: tuple[str, ...], force: bool, volumes: bool) -> int:
    """Remove containers."""
    api = session.api

    def remove(name: str) -> None:
        try:
            api.json("DELETE", path_of("containers", name), force=force, v=volumes)
        except CommandError as error:
            if not (force and error.status == 404):
                raise
            session.streams.err(two_lines(error))  # it is not there: what was wanted, and said

    return for_each(session, containers, remove)


@command("wait", examples=["wait job"])
@containers_argument
@pass_session
def wait(session: Session, *, containers: tuple[str, ...]) -> int:
    """Wait for containers to end, and print their exit codes."""
    api = session.api

    def code(name: str) -> str:
        return str(api.json("POST", path_of("containers", name, "wait"))["StatusCode"])

    return for_each(session, containers, code)


@command("rename", examples=["rename web shop"])
@click.argument("container")
@click.argument("name")
@pass_session
def rename(session: Session, *, container: str, name: str) -> int:
    """Give a container another name."""
    session.api.json("POST", path_of("containers", container, "rename"), name=name)
    return 0


@command("prune", examples=["container prune", "container prune -f --filter until=24h"])
@click.option("-f", "--force", is_flag=True, help="Do not ask first.")
@click.option(
    "--filter", "conditions", multiple=True, metavar="NAME=VALUE", help="until=…, label=… or label!=…."
)
@pass_session
def prune(session: Session, *, force: bool, conditions: tuple[str, ...]) -> int:
    """Remove every container that does not run."""
    question = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?"
    if not force and not session.streams.agreed(question):
        raise CommandError("nothing was removed", "answer y, or write `container prune -f`")
    done = session.api.json("POST", "/containers/prune", filters=filters(conditions))
    if deleted := done["ContainersDeleted"]:
        session.streams.out("\n".join(["Deleted Containers:", *deleted, ""]))
    session.streams.out(f"Total reclaimed space: {size(done['SpaceReclaimed'])}")
    return 0


def _posted(session: Session, names: Iterable[str], verb: str, **params: Any) -> int:
    api = session.api
    return for_each(
        session, names, lambda name: api.json("POST", path_of("containers", name, verb), **params)
    )
