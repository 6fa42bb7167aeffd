"""Taking part in a container's input and output: the middle of `run`, `start -a`, `attach` and `exec`.

Four things go on at once: output is shown, input is fed, signals are passed on, the end is awaited. Who
passes a signal on depends on where it comes from:

- a terminal with `-t`: Ctrl-C is a byte of the input, nothing to do;
- a terminal without `-t`: the signals that this process gets are sent to the container (`--sig-proxy`);
- a notebook: interrupting the kernel interrupts the command, so the program gets SIGINT, and SIGKILL
  when it goes on regardless.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Any

import click

from cutaway.cli import hijack
from cutaway.cli.client import Api, path_of
from cutaway.cli.failures import CommandError, InterruptedCommandError
from cutaway.cli.session import Session, pass_session
from cutaway.cli.terminal import DEFAULT_DETACH_KEYS, UntilDetached, key_bytes, raw, told_of_its_size
from cutaway.cli.tree import command

PASSED_ON = tuple(
    number
    for number in signal.valid_signals()
    if number
    not in {
        signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG, signal.SIGKILL, signal.SIGSTOP, signal.SIGWINCH,
        signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTSTP, signal.SIGTTIN,
        signal.SIGTTOU, signal.SIGCONT, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS,
    } and number < signal.SIGRTMIN
)  # fmt: skip
AFTER_INTERRUPT_SECONDS = 2.0
OUTPUT = ("stdout", "stderr")


class Detached(Exception):  # noqa: N818 - not an error: the user left
    """The user typed the detach keys: the container goes on."""


class Conversation:
    """One attached program: who it is, how it is signalled, how its terminal is resized."""

    def __init__(
        self,
        session: Session,
        *,
        tty: bool,
        stdin: bool,
        kill: Callable[[str], None],
        resize: Callable[[int, int], None],
        detach_keys: str | None = None,
        sig_proxy: bool = True,
    ) -> None:
        self._session = session
        self._tty = tty
        self._stdin = stdin
        self._kill = kill
        self._resize = resize
        self._keys = key_bytes(detach_keys or DEFAULT_DETACH_KEYS)
        self._sig_proxy = sig_proxy

    def hold(self, connection: hijack.Connection) -> None:
        """Show and feed until the program's output ends.

        Raises Detached, and InterruptedCommandError in a notebook whose kernel was interrupted.
        """
        streams = self._session.streams
        source = streams.stdin if self._stdin else None
        in_terminal = self._tty and streams.stdin_tty and source is not None
        leaver = UntilDetached(source, self._keys) if in_terminal and source else None
        with contextlib.ExitStack() as stack:
            if self._tty and streams.stdout_tty:
                stack.enter_context(told_of_its_size(self._resize))
            if in_terminal:
                stack.enter_context(raw(0))
            elif self._sig_proxy and self._session.surface == "terminal":
                stack.enter_context(_signals_passed_on(self._kill))
            if leaver is not None:
                self._feed_until_detached(connection, leaver)
            elif source is not None:
                hijack.feed(connection, source)
            try:
                hijack.show(connection, streams, tty=self._tty)
            except KeyboardInterrupt:
                self._interrupt(connection)
        if leaver is not None and leaver.detached:
            raise Detached

    def _feed_until_detached(self, connection: hijack.Connection, leaver: UntilDetached) -> None:
        def run() -> None:
            with contextlib.suppress(OSError):
                while data := leaver.read(hijack.CHUNK):
                    connection.send(data)
            connection.close() if leaver.detached else connection.end_input()

        threading.Thread(target=run, name="cutaway-stdin", daemon=True).start()

    def _interrupt(self, connection: hijack.Connection) -> None:
        """SIGINT, SIGKILL after a grace; what the program still says is shown. Without sig-proxy: leave."""
        if not self._sig_proxy:
            raise InterruptedCommandError("the container goes on")
        late = threading.Timer(AFTER_INTERRUPT_SECONDS, self._quietly_kill, ["SIGKILL"])
        late.daemon = True
        try:
            self._quietly_kill("SIGINT")
            late.start()
            hijack.show(connection, self._session.streams, tty=self._tty)
        except KeyboardInterrupt:
            self._quietly_kill("SIGKILL")
        finally:
            late.cancel()
        raise InterruptedCommandError("the program was stopped")

    def _quietly_kill(self, name: str) -> None:
        with contextlib.suppress(CommandError):  # it may have ended by itself
            self._kill(name)


@contextlib.contextmanager
def _signals_passed_on(kill: Callable[[str], None]) -> Iterator[None]:
    """Send what this process is signalled to the container; the third Ctrl-C ends the client itself."""
    count = 0

    def pass_on(number: int, _: Any) -> None:
        nonlocal count
        count += number in (signal.SIGINT, signal.SIGTERM)
        if count >= 3:
            raise InterruptedCommandError("the container goes on: `cutaway stop` or `cutaway rm -f` ends it")
        with contextlib.suppress(CommandError):
            kill(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def of_container(session: Session, api: Api, container: str, **how: Any) -> Conversation:
    """A conversation with a container's first process."""

    def kill(name: str) -> None:
        api.json("POST", path_of("containers", container, "kill"), signal=name)

    def resize(rows: int, columns: int) -> None:
        api.json("POST", path_of("containers", container, "resize"), h=rows, w=columns)

    return Conversation(session, kill=kill, resize=resize, **how)


def check_terminal(session: Session, *, tty: bool, stdin: bool) -> None:
    """Raise CommandError where a program is to have a terminal and nobody sits at one."""
    streams = session.streams
    if not (tty and stdin) or streams.stdin_tty:
        return
    if session.surface == "notebook":
        hint = "a cell is no terminal: leave out -t and give the input in a `%%container … -i` cell"
    else:
        hint = "leave out -t when the input comes from a pipe or a file"
    raise CommandError("the input device is not a TTY", hint)


def attach_params(streams: Collection[str], *, stdin: bool, keys: str | None) -> dict[str, object]:
    """The query of `POST /containers/{id}/attach`: the output in `streams`, and input."""
    output = {name: name in streams for name in OUTPUT}
    return {"stream": True, "stdin": stdin, **output, "detachKeys": keys}


@command("attach", examples=["attach web", "attach --sig-proxy=false web"])
@click.option("--detach-keys", metavar="KEYS", help="The keys that leave: ctrl-p,ctrl-q by default.")
@click.option("--no-stdin", is_flag=True, help="Watch only.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on to the program.")
@click.argument("container")
@pass_session
def attach(
    session: Session, *, container: str, detach_keys: str | None, no_stdin: bool, sig_proxy: bool
) -> int:
    """Take part in a running container's input and output.

    In a terminal, Ctrl-P Ctrl-Q leaves it running. Interrupting a notebook's cell leaves it running too.
    """
    api = session.api
    seen = api.json("GET", path_of("containers", container, "json"))
    state = seen["State"]
    if not state["Running"]:
        raise CommandError(
            "cannot attach to a stopped container, start it first", f"`start -a {container}` does both"
        )
    if state["Paused"]:
        raise CommandError(
            "cannot attach to a paused container, unpause it first", f"`unpause {container}` lets it go on"
        )
    if state["Restarting"]:
        raise CommandError("cannot attach to a restarting container, wait until it is running")
    stdin = seen["Config"]["OpenStdin"] and not no_stdin and session.streams.stdin is not None
    tty = seen["Config"]["Tty"]
    check_terminal(session, tty=tty, stdin=stdin)
    talk = of_container(
        session, api, container, tty=tty, stdin=stdin, detach_keys=detach_keys,
        sig_proxy=sig_proxy and session.surface == "terminal",
    )  # fmt: skip
    params = attach_params(OUTPUT, stdin=stdin, keys=detach_keys)
    try:
        with (
            api.later("POST", path_of("containers", container, "wait")) as ending,
            api.hijack(path_of("containers", container, "attach"), **params) as connection,
        ):
            talk.hold(connection)
            return int(ending.json()["StatusCode"])
    except Detached:
        session.streams.err("read escape sequence")
        return 0


@command("start", examples=["start web", "start -a -i shell"])
@click.option("-a", "--attach", "attached", is_flag=True, help="Show its output and wait for its end.")
@click.option("-i", "--interactive", is_flag=True, help="Feed standard input to it; implies -a.")
@click.option("--detach-keys", metavar="KEYS", help="The keys that leave: ctrl-p,ctrl-q by default.")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER...")
@pass_session
def start(
    session: Session,
    *,
    containers: tuple[str, ...],
    attached: bool,
    interactive: bool,
    detach_keys: str | None,
) -> int:
    """Start containers that were created or have ended."""
    from cutaway.cli.lifecycle import for_each

    api = session.api
    if not (attached or interactive):
        return for_each(
            session, containers, lambda name: api.json("POST", path_of("containers", name, "start"))
        )
    if len(containers) > 1:
        raise CommandError("you cannot start and attach multiple containers at once")
    from cutaway.cli.run import start_attached

    seen = api.json("GET", path_of("containers", containers[0], "json"))
    tty = seen["Config"]["Tty"]
    stdin = interactive and seen["Config"]["OpenStdin"]
    check_terminal(session, tty=tty, stdin=stdin)
    remove = bool(seen["HostConfig"].get("AutoRemove"))
    talk = of_container(session, api, seen["Id"], tty=tty, stdin=stdin, detach_keys=detach_keys)
    params = attach_params(OUTPUT, stdin=stdin, keys=detach_keys)
    return start_attached(session, seen["Id"], talk, params, remove=remove)
