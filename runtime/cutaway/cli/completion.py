"""What can come next: commands, flags, containers, images. For shells and for cells, from the one tree.

It answers within a keystroke or not at all: an engine is asked only if it runs, with a short patience, and
whatever goes wrong is no answer.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from cutaway.cli.autostart import UnixConnection
from cutaway.cli.session import Session
from cutaway.cli.streams import Streams
from cutaway.cli.tree import PLACES, root
from cutaway.errors import CutawayError

PATIENCE_SECONDS = 0.5
_RUNNING = {"exec", "attach", "stop", "kill", "pause", "top"}
_ANY = {"start", "restart", "unpause", "rename", "rm", "wait", "logs", "port", "diff"}
_IMAGES = {"run", "create", "history", "tag", "rmi", "save", "images"}
_BOTH = {"inspect"}


def candidates(words: Sequence[str], socket: Path | None) -> list[str]:
    """What the last of `words` (the ones after the program's name; it may be empty) can become, sorted.

    `socket`: our engine's, None where no engine is to be asked.
    """
    *before, part = list(words) or [""]
    if before and before[0] == "explain":
        before = before[1:]
        if not before:
            return _beginning(("create", "run"), part)
    if not before:
        return (
            _beginning(PLACES, part)
            if not part.startswith("-")
            else _beginning(("--help", "--version"), part)
        )
    context = click.Context(root, info_name="cutaway", obj=Session(_silent()))
    command = root.get_command(context, before[0])
    if command is None:
        return []
    if isinstance(command, click.Group):
        if len(before) == 1:
            return _beginning(command.list_commands(context), part)
        command, before = command.get_command(context, before[1]), before[1:]
        if command is None:
            return []
    return _of_command(command, before, part, socket)


def _of_command(command: click.Command, before: list[str], part: str, socket: Path | None) -> list[str]:
    options = {name: item for item in command.params if isinstance(item, click.Option) for name in item.opts}
    names = [name for item in command.params if isinstance(item, click.Option) for name in _names(item)]
    positionals = list(_positionals(before[1:], options))
    if not command.allow_interspersed_args and positionals:
        return []  # the program's own words
    if part.startswith("-"):
        return _beginning([*names, "--help"], part)
    last = options.get(before[-1])
    if last is not None and not last.is_flag:
        if "--network" in last.opts:
            return _beginning(("bridge", "host", "none"), part)
        return _beginning(_containers(socket, everything=True), part) if "--volumes-from" in last.opts else []
    return _beginning(_things(before[0], positionals, socket), part)


def _things(name: str, positionals: list[str], socket: Path | None) -> Iterator[str]:
    if name == "view":
        yield from ("layers", "namespaces") if not positionals else ()
        if positionals[:1] == ["layers"]:
            yield from _images(socket)
        if positionals:
            yield from _containers(socket, everything=positionals[0] == "layers")
        return
    if name == "images" and not positionals:
        yield "bootstrap"
    if positionals[:1] == ["bootstrap"]:
        yield from ("busybox", "debian")
    elif name in _IMAGES | _BOTH:
        yield from _images(socket)
    if name in _RUNNING | _ANY | _BOTH:
        yield from _containers(socket, everything=name not in _RUNNING)


def _positionals(words: Sequence[str], options: Mapping[str, click.Option]) -> Iterator[str]:
    skip = False
    for word in words:
        if skip or word.startswith("-"):
            option = options.get(word) or options.get(f"-{word[-1:]}")
            skip = not skip and option is not None and not option.is_flag and "=" not in word
        else:
            yield word


def _names(option: click.Option) -> list[str]:
    return [*option.opts, *option.secondary_opts]


def _beginning(words: Mapping[str, object] | Sequence[str] | Iterator[str], part: str) -> list[str]:
    return sorted({word for word in words if word.startswith(part)})


def _containers(socket: Path | None, *, everything: bool) -> Iterator[str]:
    for container in _ask(socket, f"/containers/json?all={int(everything)}"):
        yield from (name.lstrip("/") for name in container["Names"])


def _images(socket: Path | None) -> Iterator[str]:
    for image in _ask(socket, "/images/json"):
        for name in image["RepoTags"] or ():
            yield name.removesuffix(":latest")


def _ask(socket: Path | None, question: str) -> list[dict[str, list[str]]]:
    if socket is None:
        return []
    with contextlib.closing(UnixConnection(socket, timeout=PATIENCE_SECONDS)) as connection:
        try:
            connection.request("GET", question)
            found: list[dict[str, list[str]]] = json.load(connection.getresponse())
        except (OSError, http.client.HTTPException, ValueError):
            return []
    return found


def engine_socket() -> Path | None:
    """The socket to ask, None where `DOCKER_HOST` names what is no unix socket or the settings are wrong."""
    session = Session(_silent())
    try:
        if session.other_engine.startswith("unix://"):
            return Path(session.other_engine.removeprefix("unix://"))
        return None if session.other_engine else session.settings.socket
    except CutawayError:
        return None


def answer(environ: Mapping[str, str]) -> int:
    """Serve a shell's completion: print the script that sets it up, or the candidates, one a line."""
    import sys

    request = environ["_CUTAWAY_COMPLETE"]
    if request.endswith("_source"):
        sys.stdout.write(_SCRIPTS.get(request.removesuffix("_source"), ""))
        return 0
    words = environ.get("COMP_WORDS", "").split("\n")
    at = int(environ.get("COMP_CWORD", len(words) - 1))
    typed = (words + [""] * (at + 1))[1 : at + 1]
    sys.stdout.write("".join(f"{word}\n" for word in candidates(typed, engine_socket())))
    return 0


def _silent() -> Streams:
    return Streams(None, lambda data: None, lambda data: None)


_BASH = """_cutaway_complete() {
    local IFS=$'\\n'
    local words="${COMP_WORDS[*]}"
    COMPREPLY=($(env COMP_WORDS="$words" COMP_CWORD=$COMP_CWORD _CUTAWAY_COMPLETE=bash_complete cutaway))
}
complete -o default -F _cutaway_complete cutaway
"""
_ZSH = """_cutaway_complete() {
    local -a found
    local typed="${(F)words}"
    export COMP_CWORD=$((CURRENT-1))
    found=("${(@f)$(env COMP_WORDS="$typed" _CUTAWAY_COMPLETE=zsh_complete cutaway)}")
    compadd -a found
}
compdef _cutaway_complete cutaway
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH}
