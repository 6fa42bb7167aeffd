"""`exec`: one more process in a running container, in its namespaces and its cgroup."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

import click

from cutaway.cli import values
from cutaway.cli.attached import Conversation, Detached, check_terminal
from cutaway.cli.client import Api, path_of
from cutaway.cli.failures import CommandError, InterruptedCommandError
from cutaway.cli.flags import flag, many, one
from cutaway.cli.session import Session, pass_session
from cutaway.cli.tree import command


@command(
    "exec",
    examples=["exec web ls /www", "exec -it web sh", "exec -e LANG=C -w /tmp web env"],
    program_follows=True,
)
@flag("-i", "--interactive", about="Feed standard input to it.")
@flag("-t", "--tty", about="Give it a terminal.")
@flag("-d", "--detach", about="Do not wait for it.")
@many("-e", "--env", about="Set an environment variable.", metavar="NAME=VALUE")
@many("--env-file", about="Read environment variables from a file.", metavar="FILE")
@one("-w", "--workdir", about="The folder that it starts in.", metavar="PATH")
@one("-u", "--user", about="Who it runs as: USER[:GROUP].", metavar="USER")
@flag("--privileged", about="Give it every capability.")
@one("--detach-keys", about="The keys that leave: ctrl-p,ctrl-q by default.", metavar="KEYS")
@click.argument("container")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND [ARG...]")
@pass_session
def exec_(session: Session, /, *, container: str, words: tuple[str, ...], **options: Any) -> int:
    """Run a program in a container that runs already. The exit code is the program's."""
    tty, detach = options["tty"], options["detach"]
    stdin = options["interactive"] and not detach
    if not detach:
        check_terminal(session, tty=tty, stdin=stdin)
    api = session.api
    body = {
        "AttachStdin": stdin,
        "AttachStdout": not detach,
        "AttachStderr": not detach,
        "Tty": tty,
        "Cmd": list(words),
        "Env": values.variables(options["env"], options["env_file"], os.environ),
        "WorkingDir": options["workdir"] or "",
        "User": options["user"] or "",
        "Privileged": options["privileged"],
        "DetachKeys": options["detach_keys"] or "",
    }
    number = api.json("POST", path_of("containers", container, "exec"), body)["Id"]
    if detach:
        api.json("POST", path_of("exec", number, "start"), {"Detach": True, "Tty": tty})
        return 0
    talk = _of_exec(session, api, number, tty=tty, stdin=stdin, keys=options["detach_keys"])
    try:
        with api.hijack(path_of("exec", number, "start"), {"Detach": False, "Tty": tty}) as connection:
            talk.hold(connection)
    except Detached:
        return 0
    except CommandError as error:
        if isinstance(error, InterruptedCommandError):
            raise
        raise error.ending_with(_code(api, number) or 126) from error
    return _code(api, number) or 0


def _code(api: Api, number: str) -> int | None:
    code = api.json("GET", path_of("exec", number, "json"))["ExitCode"]
    return None if code is None else int(code)


def _of_exec(
    session: Session, api: Api, number: str, *, tty: bool, stdin: bool, keys: str | None
) -> Conversation:
    def resize(rows: int, columns: int) -> None:
        api.json("POST", path_of("exec", number, "resize"), h=rows, w=columns)

    def kill(name: str) -> None:
        """The API has no request for it, but our engine is on this machine: its process is ours to signal."""
        if not api.own:
            return
        seen = api.json("GET", path_of("exec", number, "json"))
        if not seen["Running"] or not seen["Pid"]:
            return
        with contextlib.suppress(OSError):
            process = os.pidfd_open(seen["Pid"])
            try:
                signal.pidfd_send_signal(process, signal.Signals[name])
            finally:
                os.close(process)

    return Conversation(session, tty=tty, stdin=stdin, kill=kill, resize=resize, detach_keys=keys)
