"""`lab`: JupyterLab on the course's notebooks, with an engine of the course's own.

A lesson begins with a reset, which removes every container. So the course never meets the engine that
somebody works with: it has a root folder of its own beside the default one, which whatever runs in this
JupyterLab uses, its terminals included.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from cutaway.cli.failures import CommandError
from cutaway.cli.session import Session, pass_session
from cutaway.cli.tree import command
from cutaway.settings import course_root

ENGINE_NAMES = ("CUTAWAY_ROOT", "CUTAWAY_HOST", "DOCKER_HOST")


@command("lab", examples=["lab", "lab --port 9000 --no-browser my-notebooks/"])
@click.option("--port", type=int, metavar="PORT", help="The port to listen on (8888, or the next free one).")
@click.option("--ip", metavar="ADDRESS", help="The address to listen on (localhost).")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.argument("folder", required=False, metavar="[FOLDER]")
@pass_session
def lab(session: Session, *, port: int | None, ip: str | None, no_browser: bool, folder: str | None) -> int:
    """Open JupyterLab on the lessons, or on another folder."""
    if session.surface == "notebook":
        raise CommandError("a notebook is open already", "run `cutaway lab` in a terminal")
    place = Path(folder) if folder else lessons()
    if not place.is_dir():
        raise CommandError(f"there is no folder {place}", "name the folder to open")
    command = lab_command(place, port=port, ip=ip, browser=not no_browser)
    os.execve(command[0], command, environment(place))


def lab_command(folder: Path, *, port: int | None, ip: str | None, browser: bool) -> list[str]:
    """The command line of JupyterLab; root may use it, for the engine needs root."""
    words = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder.resolve()}"]
    words += [f"--ServerApp.port={port}"] if port else []
    words += [f"--ServerApp.ip={ip}"] if ip else []
    words += ["--ServerApp.allow_root=True"] if os.geteuid() == 0 else []
    words += ["--no-browser"] if not browser or not os.environ.get("DISPLAY") else []
    return [
        *words,
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]


def environment(folder: Path) -> dict[str, str]:
    """JupyterLab's variables: for the lessons they name the course's engine, unless one is named already."""
    given = dict(os.environ)
    if folder != lessons() or any(given.get(name) for name in ENGINE_NAMES):
        return given
    return given | {"CUTAWAY_ROOT": str(course_root(given))}


def lessons() -> Path:
    """The course's notebooks: beside the source in a checkout, else the current folder."""
    beside = Path(__file__).resolve().parents[3] / "notebooks"
    return beside if beside.is_dir() else Path.cwd()
