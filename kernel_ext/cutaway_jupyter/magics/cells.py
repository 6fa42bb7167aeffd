"""`%%dockerfile` as a `build`: where its flags end and its folder begins."""

from __future__ import annotations

from collections.abc import Sequence

import click

from cutaway.cli.build import build
from cutaway.cli.failures import REFUSED, CommandError


def build_words(words: Sequence[str], cell: str) -> list[str]:
    """The `build` command of a cell that will be the standard input: `-f - FOLDER`, or `-` alone.

    Raises CommandError when two folders are named, when the Dockerfile is named too, or when a cell copies
    files and names no folder.
    """
    if "--help" in words:
        return ["build", "--help"]
    if any(word in ("-f", "--file") or word.startswith("--file=") for word in words):
        raise CommandError(
            "the cell is the Dockerfile", "leave out -f, or use `%container build`", exit_code=REFUSED
        )
    folders = _positionals(words)
    if len(folders) > 1:
        raise CommandError(
            f"%%dockerfile takes one folder, not {len(folders)}", f"these are {', '.join(folders)}"
        )
    if folders:
        return ["build", "-f", "-", *words]
    if _copies(cell):
        raise CommandError(
            "the cell copies files, and no folder is named to copy from",
            "%%dockerfile -t NAME . takes this folder",
        )
    return ["build", *words, "-"]


def _positionals(words: Sequence[str]) -> list[str]:
    options = {name: item for item in build.params if isinstance(item, click.Option) for name in item.opts}
    found: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-") and word != "-":
            option = options.get(word)
            skip = option is not None and not option.is_flag
        else:
            found.append(word)
    return found


def _copies(cell: str) -> bool:
    """Whether COPY or ADD takes something from the folder: not from a stage, nor from an address."""
    for line in cell.splitlines():
        name, *rest = line.split() or [""]
        if name.upper() == "COPY" and not any(word.startswith(("--from", "<<")) for word in rest):
            return True
        if (
            name.upper() == "ADD"
            and rest
            and not any("://" in word or word.startswith("<<") for word in rest)
        ):
            return True
    return False
