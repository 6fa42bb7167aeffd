"""Images on the move: pull, save, load, import; and the progress that these streams tell.

A stream's lines are JSON: `status` with an optional `id` and `progressDetail` (pull), `stream` (load and
build), `error` with `errorDetail` where it failed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from cutaway.cli import formats
from cutaway.cli.client import Json, path_of
from cutaway.cli.failures import CommandError
from cutaway.cli.session import Session, pass_session
from cutaway.cli.streams import Source
from cutaway.cli.tree import command


def show_progress(
    session: Session, lines: Iterable[Json], *, to_stderr: bool, quiet: bool = False
) -> list[Json]:
    """Print a stream's lines as they come; gives its `aux` values. Raises CommandError with its error.

    Progress of the same thing is one line that changes in a terminal; elsewhere each status is told once.
    """
    sink = session.streams.stderr if to_stderr else session.streams.stdout
    found: list[Json] = []
    told: dict[str, str] = {}
    moving = session.streams.stdout_tty
    open_line = False
    for line in lines:
        if "error" in line or "errorDetail" in line:
            if open_line:
                sink(b"\n")
            detail = line.get("errorDetail") or {}
            message = detail.get("message") or line.get("error") or "failed"
            raise CommandError(
                str(message), str(detail.get("hint", "")), exit_code=int(detail.get("code") or 1)
            )
        if "aux" in line:
            found.append(line["aux"])
        if quiet:
            continue
        if "stream" in line:
            sink(line["stream"].encode("utf-8", "surrogateescape"))
        elif "status" in line:
            name, status = line.get("id", ""), line["status"]
            text = f"{name}: {status}" if name else status
            detail = line.get("progressDetail") or {}
            if name and not moving and told.get(name) == status:
                continue
            told[name] = status
            if moving and detail.get("current"):
                sink(f"\r\x1b[K{text} {_amount(detail)}".encode())
                open_line = True
                continue
            sink((("\r\x1b[K" if open_line else "") + text + "\n").encode())
            open_line = False
    if open_line:
        sink(b"\n")
    return found


def _amount(detail: dict[str, Any]) -> str:
    current, total = detail["current"], detail.get("total")
    if units := detail.get("units"):
        return f"{current}{units}"
    return f"{formats.size(current)}/{formats.size(total)}" if total else formats.size(current)


def pull_image(session: Session, image: str, *, quiet: bool, to_stderr: bool) -> None:
    """Have the engine get an image. Raises CommandError."""
    repository, tag = split_name(image)
    lines = session.api.lines("POST", "/images/create", fromImage=repository, tag=tag)
    show_progress(session, lines, to_stderr=to_stderr, quiet=quiet)


def split_name(image: str) -> tuple[str, str]:
    """Repository and tag (or digest) of a name; no tag is `latest`."""
    if "@" in image:
        repository, _, digest = image.partition("@")
        return repository, digest
    if ":" in image.rpartition("/")[2]:
        repository, _, tag = image.rpartition(":")
        return repository, tag
    return image, "latest"


@command("pull", examples=["pull busybox"])
@click.option("-q", "--quiet", is_flag=True, help="Print only the name.")
@click.argument("image")
@pass_session
def pull(session: Session, *, image: str, quiet: bool) -> int:
    """Get an image; without a registry, the base images are made here."""
    pull_image(session, image, quiet=quiet, to_stderr=False)
    if quiet:
        session.streams.out(":".join(split_name(image)))
    return 0


@command("save", examples=["save -o web.tar web", "save web | gzip > web.tgz"])
@click.option("-o", "--output", metavar="FILE", help="Write there instead of standard output.")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@pass_session
def save(session: Session, *, images: tuple[str, ...], output: str | None) -> int:
    """Write images as one tar, with their layers and names."""
    if output is None and (session.streams.stdout_tty or session.surface == "notebook"):
        raise CommandError("cowardly refusing to save to a terminal", "use `-o FILE`, or redirect the output")
    pieces = session.api.pieces("/images/get?" + "&".join(f"names={path_of(name)[1:]}" for name in images))
    _write(session, pieces, output)
    return 0


@command("export", examples=["export -o web.tar web", "export web | tar -t"])
@click.option("-o", "--output", metavar="FILE", help="Write there instead of standard output.")
@click.argument("container")
@pass_session
def export(session: Session, *, container: str, output: str | None) -> int:
    """Write a container's whole file system as a tar."""
    if output is None and (session.streams.stdout_tty or session.surface == "notebook"):
        raise CommandError("cowardly refusing to save to a terminal", "use `-o FILE`, or redirect the output")
    _write(session, session.api.pieces(path_of("containers", container, "export")), output)
    return 0


def _write(session: Session, pieces: Iterable[bytes], output: str | None) -> None:
    """To a file, whole or not at all, or to standard output."""
    if output is None:
        for piece in pieces:
            session.streams.stdout(piece)
        return
    with _whole_file(Path(output)) as file:
        for piece in pieces:
            file.write(piece)


@contextlib.contextmanager
def _whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write beside the file and rename: it is there whole, or not at all. Raises CommandError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.rename(path)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error
    finally:
        part.unlink(missing_ok=True)


@command("load", examples=["load -i web.tar"])
@click.option("-i", "--input", "file", metavar="FILE", help="Read there instead of standard input.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing.")
@pass_session
def load(session: Session, *, file: str | None, quiet: bool) -> int:
    """Read images from a tar that `save` wrote."""
    if file is None and session.streams.stdin_tty:
        raise CommandError(
            "requested load from stdin, but stdin is empty", "use `-i FILE`, or redirect the input"
        )
    with input_of(session, file) as data:
        lines = session.api.lines(
            "POST", "/images/load", data, {"Content-Type": "application/x-tar"}, quiet=quiet
        )
        show_progress(session, lines, to_stderr=False, quiet=quiet)
    return 0


@command("import", examples=["import rootfs.tar mini:1", "import -c 'CMD [\"sh\"]' - mini"])
@click.option("-c", "--change", "changes", multiple=True, metavar="LINE", help="A Dockerfile line to apply.")
@click.option("-m", "--message", metavar="TEXT", help="A note for the history.")
@click.argument("file", metavar="FILE|-")
@click.argument("name", required=False, metavar="[REPOSITORY[:TAG]]")
@pass_session
def import_(
    session: Session, *, file: str, name: str | None, changes: tuple[str, ...], message: str | None
) -> int:
    """Make an image of one layer from a tar of a root file system."""
    repository, tag = split_name(name) if name else ("", "")
    query = "&".join(f"changes={path_of(change)[1:]}" for change in changes)
    with input_of(session, None if file == "-" else file) as data:
        lines = session.api.lines(
            "POST", f"/images/create?{query}" if query else "/images/create", data,
            {"Content-Type": "application/x-tar"}, fromSrc="-", repo=repository, tag=tag, message=message,
        )  # fmt: skip
        show_progress(session, lines, to_stderr=False)
    return 0


@contextlib.contextmanager
def input_of(session: Session, file: str | None) -> Iterator[Any]:
    """What a request is to send: a file, or standard input as it comes. Raises CommandError."""
    if file is None:
        if session.streams.stdin is None:
            raise CommandError("there is no standard input here", "name a file")
        yield _pieces(session.streams.stdin)
        return
    try:
        opened = Path(file).expanduser().open("rb")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"cannot open {file}: {reason}", "check the path and its mode") from error
    with opened:
        yield opened


def _pieces(source: Source) -> Iterator[bytes]:
    while data := source.read(65536):
        yield data
