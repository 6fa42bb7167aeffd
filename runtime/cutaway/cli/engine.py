"""`engine start/stop/restart/status`: the process that manages the containers.

Containers are not its children: they go on while it is stopped, and it finds them again.
"""

from __future__ import annotations

from typing import Any

import click

from cutaway.cli import autostart
from cutaway.cli.failures import CommandError
from cutaway.cli.session import Session, pass_session
from cutaway.cli.tree import SubTree, command
from cutaway.settings import Settings


@click.group("engine", cls=SubTree, subcommand_metavar="COMMAND", options_metavar="")
def engine() -> None:
    """Start, stop and ask after the engine.

    It starts by itself at the first command that needs it. Containers go on while it is stopped.
    """


def _where(function: Any) -> Any:
    root = click.option("--root", metavar="FOLDER", help="Where it keeps everything; else CUTAWAY_ROOT.")
    socket = click.option("--socket", metavar="PATH", help="Where it listens; else CUTAWAY_HOST.")
    return root(socket(function))


@command("start", examples=["engine start", "engine start --foreground --root /tmp/lab"])
@_where
@click.option("--foreground", is_flag=True, help="Be the engine, until SIGTERM or Ctrl-C.")
@pass_session
def start(session: Session, *, root: str | None, socket: str | None, foreground: bool) -> int:
    """Start the engine."""
    settings = Settings.from_environment(root, socket)
    if foreground:
        if session.surface == "notebook":
            raise CommandError(
                "an engine in the foreground would end with the notebook", "leave out --foreground"
            )
        from cutaway.api.server import run_engine  # the engine itself: only in the process that becomes it

        run_engine(settings)
        return 0
    if autostart.listens(settings.socket):
        session.streams.out(f"the engine runs already: process {autostart.running_pid(settings)}")
        return 0
    autostart.ensure_engine(settings)
    session.streams.out(
        f"the engine runs: process {autostart.running_pid(settings)}, socket {settings.socket}"
    )
    return 0


@command("stop", examples=["engine stop"])
@_where
@pass_session
def stop(session: Session, *, root: str | None, socket: str | None) -> int:
    """Stop the engine and wait until it is gone. Containers go on."""
    stopped = autostart.stop(Settings.from_environment(root, socket))
    session.streams.out("the engine has stopped" if stopped else "the engine does not run")
    return 0


@command("restart", examples=["engine restart"])
@_where
@pass_session
def restart(session: Session, *, root: str | None, socket: str | None) -> int:
    """Stop the engine and start it again. Containers go on."""
    settings = Settings.from_environment(root, socket)
    autostart.stop(settings)
    autostart.ensure_engine(settings)
    session.streams.out(
        f"the engine runs: process {autostart.running_pid(settings)}, socket {settings.socket}"
    )
    return 0


@command("status", examples=["engine status"])
@_where
@pass_session
def status(session: Session, *, root: str | None, socket: str | None) -> int:
    """Tell whether the engine runs, and where. Starts nothing; ends with 3 when it does not run."""
    settings = Settings.from_environment(root, socket)
    number = autostart.running_pid(settings)
    session.streams.out(f"engine      {f'running, process {number}' if number else 'not running'}")
    session.streams.out(f"socket      {settings.socket}")
    session.streams.out(f"root        {settings.root}")
    if number is None or not autostart.answers(settings.socket):
        return 3
    listed = autostart.ask(settings.socket, "/containers/json?all=1")
    running = sum(container["State"] == "running" for container in listed)
    session.streams.out(f"containers  {len(listed)}, {running} running")
    return 0


for _command in (start, stop, restart, status):
    engine.add_command(_command)
