"""`run`: make a container, take part in it, end with its exit code.

The requests are Docker's, in Docker's order: create; attach, before there is anything to hear; wait, before
there is anything to wait for; start. When the image is not there, it is got, and create is asked again.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from cutaway.cli.attached import Conversation, Detached, attach_params, check_terminal, of_container
from cutaway.cli.client import Api, path_of
from cutaway.cli.failures import REFUSED, CommandError, InterruptedCommandError
from cutaway.cli.flags import container_options, flag, one
from cutaway.cli.options import attached_streams, create_body
from cutaway.cli.session import Session, pass_session
from cutaway.cli.tree import command
from cutaway.errors import CutawayError

NOT_FOUND, NOT_EXECUTABLE = 127, 126


@command(
    "run",
    examples=["run --rm busybox echo hello", "run -d --name web -p 8080:80 busybox httpd -f"],
    program_follows=True,
)
@container_options
@flag("-d", "--detach", about="Leave it running and print its id.")
@one("--detach-keys", about="The keys that leave: ctrl-p,ctrl-q by default.", metavar="KEYS")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on to the program.")
@one("--cidfile", about="Write the container's id to a file.", metavar="FILE")
@click.argument("image")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND] [ARG...]")
@pass_session
def run(session: Session, /, *, image: str, words: tuple[str, ...], **options: Any) -> int:
    """Make a container of an image and run a program in it.

    What follows the image is the program; without it the image's own runs. The exit code is the program's;
    125: the engine refused, 126: the program cannot be executed, 127: there is no such program.
    """
    try:
        return _run(session, image, words, options)
    except InterruptedCommandError:
        raise
    except CommandError as error:
        raise error if error.exit_code != 1 else error.ending_with(REFUSED) from error.__cause__
    except CutawayError as error:  # no engine
        raise CommandError(error.message, error.hint, exit_code=REFUSED) from error


@command("create", examples=["create --name web -p 8080:80 busybox httpd -f"], program_follows=True)
@container_options
@one("--cidfile", about="Write the container's id to a file.", metavar="FILE")
@click.argument("image")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND] [ARG...]")
@pass_session
def create(session: Session, /, *, image: str, words: tuple[str, ...], **options: Any) -> int:
    """Make a container without starting it, and print its id."""
    container = _create(session, create_body(image, words, options), options)
    session.streams.out(container)
    return 0


def _run(session: Session, image: str, words: tuple[str, ...], options: dict[str, Any]) -> int:
    detach, tty = options["detach"], options["tty"]
    streams = attached_streams(options)
    stdin = options["interactive"] and "stdin" in streams
    if not detach:
        check_terminal(session, tty=tty, stdin=stdin)
    body = create_body(image, words, options)
    container = _create(session, body, options)
    if detach:
        return _start_detached(session, container, remove=options["remove"])
    talk = of_container(
        session, session.api, container, tty=tty, stdin=stdin, detach_keys=options["detach_keys"],
        sig_proxy=options["sig_proxy"],
    )  # fmt: skip
    params = attach_params(streams, stdin=stdin, keys=options["detach_keys"])
    return start_attached(session, container, talk, params, remove=options["remove"])


def _create(session: Session, body: dict[str, Any], options: dict[str, Any]) -> str:
    api, pull = session.api, options["pull"]
    image = body["Image"]
    if pull == "always":
        _get_image(session, image, options)
    params = {"name": options["name"], "platform": options["platform"]}
    try:
        made = api.json("POST", "/containers/create", body, **params)
    except CommandError as error:
        if error.status != 404 or pull != "missing" or _has_image(api, image):
            raise
        if not options["quiet"]:
            name = image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"
            session.streams.err(f"Unable to find image '{name}' locally")
        _get_image(session, image, options)
        made = api.json("POST", "/containers/create", body, **params)
    for warning in made.get("Warnings") or ():
        session.streams.err(f"WARNING: {warning}")
    if options["cidfile"]:
        _write_id(Path(options["cidfile"]), made["Id"])
    return str(made["Id"])


def _has_image(api: Api, image: str) -> bool:
    """Whether the 404 was about something else: a network, a container to link to."""
    try:
        api.json("GET", path_of("images", image, "json"))
    except CommandError:
        return False
    return True


def _get_image(session: Session, image: str, options: dict[str, Any]) -> None:
    from cutaway.cli.transfer import pull_image

    pull_image(session, image, quiet=options["quiet"], to_stderr=True)


def _write_id(path: Path, container: str) -> None:
    try:
        with path.open("x") as file:
            file.write(container)
    except OSError as error:
        raise CommandError(f"cannot write the container id to {path}: {error.strerror}") from error


def _start_detached(session: Session, container: str, *, remove: bool) -> int:
    with _nothing_left(session.api, container, remove=remove):
        _start(session.api, container)
    session.streams.out(container)
    return 0


def start_attached(
    session: Session, container: str, talk: Conversation, params: dict[str, object], *, remove: bool
) -> int:
    """Attach to a container, start it and take part until it ends; its exit code.

    Raises CommandError with Docker's exit code when it does not start, InterruptedCommandError.
    """
    api = session.api
    condition = "removed" if remove else "next-exit"
    try:
        with (
            api.hijack(path_of("containers", container, "attach"), **params) as connection,
            api.later("POST", path_of("containers", container, "wait"), condition=condition) as ending,
        ):
            with _nothing_left(api, container, remove=remove):
                _start(api, container)
            try:
                talk.hold(connection)
            except InterruptedCommandError as error:
                code = _code(ending.json())
                raise InterruptedCommandError(f"{error.hint}; exit code {code}") from None
            return _code(ending.json())
    except Detached:
        session.streams.err("read escape sequence")
        return 0
    except KeyboardInterrupt:  # before it ran, or while its end was awaited
        with contextlib.suppress(CommandError):
            api.json("POST", path_of("containers", container, "kill"))
        if remove:
            _remove(api, container)
        raise InterruptedCommandError("the container was stopped") from None


def _start(api: Api, container: str) -> None:
    try:
        api.json("POST", path_of("containers", container, "start"))
    except CommandError as error:
        raise error.ending_with(_start_code(api, container, error)) from error


def _start_code(api: Api, container: str, error: CommandError) -> int:
    """126 or 127 as the engine noted it in the container; from Docker's words where it is gone already."""
    with contextlib.suppress(CommandError):
        code = api.json("GET", path_of("containers", container, "json"))["State"]["ExitCode"]
        if code in (NOT_EXECUTABLE, NOT_FOUND):
            return int(code)
    if "not found" in error.message or "no such file or directory" in error.message:
        return NOT_FOUND
    if "permission denied" in error.message or "is a directory" in error.message:
        return NOT_EXECUTABLE
    return REFUSED


@contextlib.contextmanager
def _nothing_left(api: Api, container: str, *, remove: bool) -> Any:
    """What could not be started and was to be removed at its end is removed now."""
    try:
        yield
    except (CommandError, KeyboardInterrupt):
        if remove:
            _remove(api, container)
        raise


def _remove(api: Api, container: str) -> None:
    with contextlib.suppress(CommandError):
        api.json("DELETE", path_of("containers", container), force=True, v=True)


def _code(answer: dict[str, Any]) -> int:
    error = (answer.get("Error") or {}).get("Message")
    if error:
        raise CommandError(error, exit_code=REFUSED)
    return int(answer["StatusCode"])
