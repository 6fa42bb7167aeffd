"""`cp`: files between here and a container, as `cp -r` would copy them.

    source            destination                 becomes
    file              nothing there               the file of that name
    file              a file                      replaces it
    file, folder      a folder                    goes into it
    folder            nothing there               the folder of that name
    folder/.          a folder                    its content goes into it

Both ends speak tar. What comes from a container is unpacked by the engine's own unpacker, which does not
leave the folder that it is given: the container may be hostile.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import posixpath
import stat
import tarfile
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import click

from cutaway.cli import formats
from cutaway.cli.client import path_of
from cutaway.cli.failures import CommandError
from cutaway.cli.session import Session, pass_session
from cutaway.cli.tree import command

STAT_HEADER = "X-Docker-Container-Path-Stat"
GO_DIRECTORY, GO_LINK = 1 << 31, 1 << 27
CHUNK = 1 << 16


@command("cp", examples=["cp web:/etc/hosts .", "cp page.html web:/www/", "cp web:/data - | tar -t"])
@click.option("-a", "--archive", is_flag=True, help="Give what is copied in to the container's user.")
@click.option("-L", "--follow-link", is_flag=True, help="Copy what a link leads to, not the link.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing.")
@click.argument("source", metavar="[CONTAINER:]SOURCE|-")
@click.argument("destination", metavar="[CONTAINER:]DESTINATION|-")
@pass_session
def cp(
    session: Session, *, source: str, destination: str, archive: bool, follow_link: bool, quiet: bool
) -> int:
    """Copy files between here and a container."""
    (here, path), (there, goal) = split(source), split(destination)
    if here and there:
        raise CommandError("copying between containers is not supported", "copy to a folder here first")
    if not here and not there:
        raise CommandError("must specify at least one container source", "write a container as NAME:PATH")
    if here:
        count = _copy_out(session, here, path, goal, follow=follow_link)
    else:
        count = _copy_in(session, path, there, goal, follow=follow_link, own=archive)
    if not quiet and count is not None:
        session.streams.err(f"Successfully copied {formats.size(count)} to {destination}")
    return 0


def split(text: str) -> tuple[str, str]:
    """`web:/etc` → ("web", "/etc"). A path of this machine gives an empty container: `./a:b`, `/a:b`, `-`."""
    container, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")) or not container:
        return "", text
    return container, path or "/"


# From a container


def _copy_out(session: Session, container: str, path: str, goal: str, *, follow: bool) -> int | None:
    url = path_of("containers", container, "archive")
    name = posixpath.basename(path.rstrip("/"))
    if follow and (found := _stat(session, container, path)) and found["mode"] & GO_LINK:
        path = found["linkTarget"]
    with session.api.later("GET", url, path=path) as answer:
        if goal == "-":
            if session.streams.stdout_tty or session.surface == "notebook":
                raise CommandError("cowardly refusing to write a tar to a terminal", "redirect the output")
            for piece in answer.iter_content(CHUNK):
                session.streams.stdout(piece)
            return None
        found = _decode(answer.headers[STAT_HEADER])
        folder, new_name = _local_goal(goal, name, path, is_directory=bool(found["mode"] & GO_DIRECTORY))
        return _unpack(cast(BinaryIO, answer.raw), folder, new_name)


def _local_goal(goal: str, name: str, path: str, *, is_directory: bool) -> tuple[Path, str]:
    """The folder to unpack in and the name to give; an empty name: straight into the folder."""
    place = Path(goal).expanduser()
    if place.is_dir():
        return place, "" if path.endswith("/.") or not name else name
    if place.exists() and is_directory:
        raise CommandError(f'cannot copy directory "{path}" to "{goal}": it is a file', "name a folder")
    if not place.parent.is_dir():
        raise CommandError(f"invalid output path: directory {place.parent} does not exist", "make it first")
    if goal.endswith("/") and not is_directory and not place.exists():
        raise CommandError(f"no such directory: {goal}", f"make it: mkdir {goal}")
    return place.parent, place.name


def _unpack(stream: BinaryIO, folder: Path, name: str) -> int:
    """Unpack with the first name of every member replaced. Returns the bytes of the files."""
    from cutaway.layer import members
    from cutaway.layer.apply import place, safe_path
    from cutaway.layer.target import Target

    def renamed(path: str) -> str:
        _, _, rest = path.lstrip("/").partition("/")
        return safe_path(f"{name}/{rest}")

    count = 0
    try:
        with Target(folder) as target, members.reading(stream) as tar:
            for info in members.members(tar):
                count += info.size
                path = renamed(info.name)
                if path:
                    place(tar, info, target, path, renamed(info.linkname) if info.islnk() else "")
            target.finish()
    except OSError as error:
        raise CommandError(f"cannot write to {folder}: {(error.strerror or str(error)).lower()}") from error
    return count


# To a container


def _copy_in(
    session: Session, source: str, container: str, goal: str, *, follow: bool, own: bool
) -> int | None:
    found = _stat(session, container, goal)
    if found and found["mode"] & GO_LINK:
        goal = found["linkTarget"]
        found = _stat(session, container, goal)
    is_directory = bool(found and found["mode"] & GO_DIRECTORY)
    if source == "-":
        if not is_directory:
            raise CommandError(
                f'destination "{container}:{goal}" must be a directory', "a tar is unpacked in a folder"
            )
        if session.streams.stdin is None:
            raise CommandError("there is no standard input here", "name a file")
        stream = session.streams.stdin
        _put(session, container, goal, iter(lambda: stream.read(CHUNK), b""), own=own)
        return None
    path = Path(source).expanduser()
    try:
        status = path.stat() if follow or source.endswith("/") else path.lstat()
    except OSError as error:
        raise CommandError(f"cannot copy {source}: {(error.strerror or '').lower()}") from error
    folder, name = _goal_inside(
        source, path, goal, is_folder=stat.S_ISDIR(status.st_mode), found=found, into=is_directory
    )
    packing = _Packing(path, name, follow=follow)
    with contextlib.closing(packing.pieces()) as pieces:
        _put(session, container, folder, pieces, own=own)
    return packing.count


def _goal_inside(
    source: str, path: Path, goal: str, *, is_folder: bool, found: Any, into: bool
) -> tuple[str, str]:
    """The folder of the container and the name in it."""
    if into:
        return goal, "." if source.endswith("/.") or source == "." else path.absolute().name
    if found and is_folder:
        raise CommandError(f'cannot copy directory "{source}" to "{goal}": it is a file', "name a folder")
    if not found and goal.endswith("/") and not is_folder:
        raise CommandError(f"no such directory: {goal}", "the folder has to be there")
    whole = posixpath.normpath("/" + goal.lstrip("/"))
    return posixpath.dirname(whole), posixpath.basename(whole)


class _Packing:
    """A file or folder as the pieces of a tar; packed by a thread, as fast as they are taken."""

    def __init__(self, path: Path, name: str, *, follow: bool) -> None:
        self._path, self._name, self._follow = path, name, follow
        self._failure: OSError | None = None
        self.count = 0

    def pieces(self) -> Generator[bytes, None, None]:
        """Raises CommandError when something cannot be read."""
        reading, writing = os.pipe()
        thread = threading.Thread(target=self._pack, args=(writing,), daemon=True)
        thread.start()
        try:
            while piece := os.read(reading, CHUNK):
                yield piece
        finally:
            os.close(reading)
            thread.join()
        if self._failure:
            reason = (self._failure.strerror or str(self._failure)).lower()
            raise CommandError(f"cannot read {self._failure.filename or self._path}: {reason}")

    def _pack(self, writing: int) -> None:
        with os.fdopen(writing, "wb", CHUNK) as file:
            try:
                with tarfile.open(
                    fileobj=file, mode="w|", format=tarfile.PAX_FORMAT, errors="surrogateescape"
                ) as tar:
                    if self._follow or str(self._path).endswith("/"):
                        tar.add(self._path.resolve(), self._name, filter=self._counted)
                    else:
                        tar.add(self._path, self._name, filter=self._counted)
            except BrokenPipeError:
                pass  # the engine has refused
            except OSError as error:
                self._failure = error

    def _counted(self, info: tarfile.TarInfo) -> tarfile.TarInfo:
        self.count += info.size
        return info


def _put(session: Session, container: str, folder: str, data: Iterator[bytes], *, own: bool) -> None:
    url = path_of("containers", container, "archive")
    with session.api.later(
        "PUT", url, data, path=folder, noOverwriteDirNonDir=True, copyUIDGID=own
    ) as answer:
        _ = answer.content


def _stat(session: Session, container: str, path: str) -> Any:
    """What is at a container's path, as the header tells; None for nothing."""
    try:
        with session.api.later("HEAD", path_of("containers", container, "archive"), path=path) as answer:
            return _decode(answer.headers[STAT_HEADER])
    except CommandError as error:
        if error.status != 404:
            raise
        session.api.json("GET", path_of("containers", container, "json"))  # an unknown container is told
        return None


def _decode(header: str) -> Any:
    return json.loads(base64.b64decode(header))
