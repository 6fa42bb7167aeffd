"""`build`: pack a folder, send it, show what the engine makes of it.

A folder goes as a tar, without what its `.dockerignore` names. A Dockerfile from elsewhere (`-f
../Dockerfile`, `-f -`, a notebook's cell) goes into the tar under a name that nothing else has.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cutaway.cli import values
from cutaway.cli.failures import CommandError, InterruptedCommandError
from cutaway.cli.session import Session, pass_session
from cutaway.cli.streams import Source
from cutaway.cli.tree import command

FROM_ELSEWHERE = ".cutaway.dockerfile"


@command("build", examples=["build -t web .", "build -t web --build-arg PORT=80 -f Dockerfile.small site/"])
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME[:TAG]", help="A name for the image.")
@click.option(
    "-f", "--file", "dockerfile", metavar="FILE", help="The Dockerfile (CONTEXT/Dockerfile); -: the input."
)
@click.option("--build-arg", "arguments", multiple=True, metavar="NAME=VALUE", help="A value for an ARG.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label for the image.")
@click.option("--target", metavar="STAGE", help="Stop at this stage.")
@click.option("--network", metavar="NETWORK", help="The network of RUN: bridge, host, none.")
@click.option("--no-cache", is_flag=True, help="Make every step again.")
@click.option("--pull", is_flag=True, help="Get the base image even if it is there.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the image's id.")
@click.option("--rm/--no-rm", default=True, help="Remove the containers of the steps.")
@click.option("-m", "--memory", type=values.SIZE, metavar="BYTES", help="At most this much memory for RUN.")
@click.argument("context", metavar="FOLDER|-")
@pass_session
def build(session: Session, /, *, context: str, dockerfile: str | None, **options: Any) -> int:
    """Make an image of a Dockerfile and the files of a folder.

    With - as the folder, the input is the Dockerfile (or a tar of a folder).
    """
    if context == "-":
        if dockerfile == "-":
            raise CommandError("the input cannot be both the Dockerfile and the folder")
        data = _read_all(session.streams.stdin)
        packed = io.BytesIO(data) if _is_tar(data) else pack(None, data)
        return send(session, packed, dockerfile if _is_tar(data) else None, options)
    folder = Path(context).expanduser()
    text = _read_all(session.streams.stdin) if dockerfile == "-" else None
    if dockerfile not in (None, "-"):
        inside = _inside(folder, Path(str(dockerfile)).expanduser())
        if inside is None:
            text = _read(Path(str(dockerfile)).expanduser())
        else:
            return send(session, pack(folder, None, keep=inside), inside, options)
    if text is None and folder.is_dir() and not (folder / "Dockerfile").is_file():
        raise CommandError(f"there is no Dockerfile in {folder}", "`-f FILE` names another one")
    return send(session, pack(folder, text), FROM_ELSEWHERE if text is not None else None, options)


def send(session: Session, packed: Any, dockerfile: str | None, options: dict[str, Any]) -> int:
    """Have a packed folder built; show the steps. Raises CommandError where a step fails."""
    from cutaway.cli.transfer import show_progress

    query = "&".join(f"t={_quoted(name)}" for name in options["tags"])
    known = values.variables(options["arguments"], (), os.environ)
    lines = session.api.lines(
        "POST", f"/build?{query}" if query else "/build", packed, {"Content-Type": "application/x-tar"},
        dockerfile=dockerfile, target=options["target"], nocache=options["no_cache"], pull=options["pull"],
        q=options["quiet"], rm=int(options["rm"]), networkmode=options["network"], memory=options["memory"],
        buildargs=values.labels(known), labels=values.labels(options["labels"]), version="1",
    )  # fmt: skip
    try:
        show_progress(session, lines, to_stderr=False)
    except KeyboardInterrupt:
        raise InterruptedCommandError("the build ended; the steps that were done stay in the cache") from None
    return 0


def pack(folder: Path | None, dockerfile: bytes | None, keep: str = "Dockerfile") -> Any:
    """A tar of a folder (None: of nothing) with a further Dockerfile. Raises CommandError.

    Without a folder the Dockerfile is called `Dockerfile`, else `FROM_ELSEWHERE`. `keep` is the file in the
    folder that goes along even if `.dockerignore` names it.
    """
    if folder is None:
        return _tar_of({"Dockerfile": dockerfile or b""})
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise CommandError(
            f"the build context {folder} {what}", "name the folder that holds the files to copy"
        )
    from docker.utils.build import create_archive, exclude_paths

    try:
        names = sorted(exclude_paths(str(folder), _ignored(folder), dockerfile=keep))
        extra = [] if dockerfile is None else [(FROM_ELSEWHERE, dockerfile.decode())]
        packed = create_archive(str(folder), files=names, extra_files=extra)
    except OSError as error:
        name = error.filename or folder
        raise CommandError(
            f"cannot read {name} of the build context: {(error.strerror or str(error)).lower()}",
            "change its mode, or name it in .dockerignore",
        ) from error
    return packed


def _ignored(folder: Path) -> list[str]:
    try:
        lines = (folder / ".dockerignore").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _tar_of(files: dict[str, bytes]) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    packed.seek(0)
    return packed


def _inside(folder: Path, file: Path) -> str | None:
    """A Dockerfile's path in the folder; None when it is elsewhere."""
    try:
        return str(file.resolve().relative_to(folder.resolve()))
    except ValueError:
        return None


def _is_tar(data: bytes) -> bool:
    return data[257:262] == b"ustar" or data[:2] == b"\x1f\x8b" or data[:4] == b"\x28\xb5\x2f\xfd"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read the Dockerfile {path}: {(error.strerror or '').lower()}") from error


def _read_all(source: Source | None) -> bytes:
    if source is None:
        raise CommandError("there is no standard input here", "name a folder")
    return b"".join(_pieces(source))


def _pieces(source: Source) -> Iterator[bytes]:
    while data := source.read(65536):
        yield data


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="/:")
