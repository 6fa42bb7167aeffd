"""The command tree: Docker's grammar on click, defined once for the terminal, `%container` and completion.

What click does not do by itself, and Docker does:

- options of `run` end at the image: what follows belongs to the program (`allow_interspersed_args`);
- a flag without value may have one: `--rm=true`, `--sig-proxy=false`;
- a command that does not exist gets a suggestion: `rnu` → `run`;
- a bad flag ends with 125, a missing argument with 1.

A command's module is imported when the command is called, so that `cutaway version` does not pay for `build`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable
from typing import Any

import click

from cutaway.cli.failures import REFUSED, CommandError
from cutaway.cli.session import Session

# name → where its click command is; the order is that of the help.
SECTIONS: dict[str, dict[str, str]] = {
    "Containers": {
        "run": "run:run",
        "create": "run:create",
        "start": "attached:start",
        "attach": "attached:attach",
        "exec": "execute:exec_",
        "ps": "listing:ps",
        "logs": "logs:logs",
        "stop": "lifecycle:stop",
        "kill": "lifecycle:kill",
        "restart": "lifecycle:restart",
        "pause": "lifecycle:pause",
        "unpause": "lifecycle:unpause",
        "rename": "lifecycle:rename",
        "update": "update:update",
        "rm": "lifecycle:rm",
        "wait": "lifecycle:wait",
        "inspect": "looking:inspect",
        "port": "looking:port",
        "stats": "stats:stats",
        "top": "looking:top",
        "diff": "looking:diff",
        "cp": "copying:cp",
        "commit": "commit:commit",
        "export": "transfer:export",
        "container": "nouns:container",
    },
    "Images": {
        "images": "images:images",
        "build": "build:build",
        "history": "images:history",
        "tag": "images:tag",
        "rmi": "images:rmi",
        "pull": "transfer:pull",
        "save": "transfer:save",
        "load": "transfer:load",
        "import": "transfer:import_",
    },
    "Engine": {
        "version": "system:version",
        "info": "system:info",
        "events": "events:events",
        "engine": "engine:engine",
        "doctor": "doctor:doctor",
    },
    "To look inside": {
        "explain": "explain:explain",
        "view": "view:view",
        "lab": "lab:lab",
    },
}
PLACES = {name: place for section in SECTIONS.values() for name, place in section.items()}


class Command(click.Command):
    """A command with Docker's habits. `examples` are command lines without the program's name.

    `program_follows`: the first word that is no option ends the options, as in `run` and `exec`.
    """

    def __init__(
        self, *args: Any, examples: Iterable[str] = (), program_follows: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self.allow_interspersed_args = not program_follows

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, after `--flag=true` has become `--flag` and `--flag=false` nothing."""
        return super().parse_args(ctx, list(self._without_truth_values(args)))

    def _without_truth_values(self, args: list[str]) -> Iterable[str]:
        flags = {
            name: option
            for option in self.params
            if isinstance(option, click.Option) and option.is_flag
            for name in option.opts
        }
        for position, word in enumerate(args):
            if word == "--" or self._begins_the_program(word, args[position - 1] if position else ""):
                yield from args[position:]
                return
            name, equals, value = word.partition("=")
            if not equals or name not in flags:
                yield word
                continue
            option = flags[name]
            truth = _truth(value, name)
            if truth:
                yield name
            elif option.secondary_opts:
                yield option.secondary_opts[0]

    def _begins_the_program(self, word: str, before: str) -> bool:
        """Whether the options end here: a word without a dash that is not the value of the flag before it."""
        return not (self.allow_interspersed_args or word.startswith("-") or _wants_value(self, before))

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """`--help`, which goes where the command's output goes."""
        return _help_option()

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, as they are typed on this surface."""
        _write_examples(self.examples, ctx, formatter)


class SubTree(click.Group):
    """A command with commands below it, such as `engine`."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names. Raises CommandError with a suggestion."""
        raise_if_unknown(args[0], self.list_commands(ctx), ctx)
        return super().resolve_command(ctx, args)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """`--help`, which goes where the command's output goes."""
        return _help_option()


class Noun(SubTree):
    """Imports its commands when they are wanted: `container ls` is `ps`. `places`: as in SECTIONS."""

    def __init__(
        self, name: str, places: dict[str, str], *, examples: Iterable[str] = (), **options: Any
    ) -> None:
        super().__init__(name, **options)
        self.places, self.examples = places, tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, as they are typed on this surface."""
        _write_examples(self.examples, ctx, formatter)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return list(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None when there is none of that name."""
        return _imported(self.places[cmd_name]) if cmd_name in self.places else None


class Tree(Noun):
    """The root: all commands, by section."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by section, one line each."""
        for title, names in SECTIONS.items():
            with formatter.section(title):
                rows = [(name, _summary(self.get_command(ctx, name))) for name in names]
                formatter.write_dl(rows, col_max=12)


def _write_examples(examples: tuple[str, ...], ctx: click.Context, formatter: click.HelpFormatter) -> None:
    if not examples:
        return
    program = ctx.find_root().info_name or "cutaway"
    with formatter.section("Example" if len(examples) == 1 else "Examples"):
        for example in examples:
            formatter.write(f"  {program} {example}\n")


def _imported(place: str) -> click.Command:
    module, _, attribute = place.partition(":")
    found: click.Command = getattr(importlib.import_module(f"cutaway.cli.{module}"), attribute)
    return found


def raise_if_unknown(word: str, names: Iterable[str], ctx: click.Context) -> None:
    """Raise CommandError for a word that is none of the commands, with the closest one as the hint."""
    known = list(names)
    if word in known:
        return
    if word.startswith("-"):
        raise CommandError(f"unknown flag: {word}", f"see `{ctx.command_path} --help`", exit_code=REFUSED)
    close = closest(word, known)
    hint = f"did you mean `{close}`?" if close else f"`{ctx.command_path} --help` lists the commands"
    raise CommandError(f"unknown command: {word}", hint)


def closest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or an empty string."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else ""


def _truth(value: str, name: str) -> bool:
    if value.lower() in ("true", "t", "1"):
        return True
    if value.lower() in ("false", "f", "0"):
        return False
    raise CommandError(
        f'invalid argument "{value}" for "{name}" flag: neither true nor false', exit_code=REFUSED
    )


def _wants_value(command: click.Command, word: str) -> bool:
    if not word.startswith("-") or "=" in word:
        return False
    options = {
        name: option for option in command.params if isinstance(option, click.Option) for name in option.opts
    }
    if word in options:
        return not (options[word].is_flag or options[word].count)
    if word.startswith("--"):
        return False
    for position, letter in enumerate(word[1:], 1):  # `-it` and `-eA=1`
        option = options.get(f"-{letter}")
        if option is not None and not option.is_flag:
            return position == len(word) - 1
    return False


def _summary(command: click.Command | None) -> str:
    return command.get_short_help_str(limit=200) if command else ""


def _help_option() -> click.Option:
    def show(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            ctx.ensure_object(Session).streams.out(ctx.get_help())
            ctx.exit()

    return click.Option(
        ["--help"], is_flag=True, is_eager=True, expose_value=False, callback=show, help="Show this text."
    )


def command(
    name: str, *, examples: Iterable[str], program_follows: bool = False
) -> Callable[[Callable[..., Any]], Command]:
    """Declare a command: `@command("rm", examples=["rm -f web"])`. The docstring is its help."""
    return click.command(name, cls=Command, examples=examples, program_follows=program_follows)


@click.group(
    "cutaway",
    cls=Tree,
    places=PLACES,
    options_metavar="",
    subcommand_metavar="COMMAND",
    no_args_is_help=False,
    invoke_without_command=True,
)
@click.option("--version", "-v", is_flag=True, help="Show the version of this command.")
@click.pass_context
def root(ctx: click.Context, *, version: bool) -> None:
    """Learn containers on real containers: Docker's commands, and what the kernel does for them.

    The engine starts at the first command that needs it.
    """
    session = ctx.ensure_object(Session)
    if version:
        from cutaway import __version__

        session.streams.out(f"cutaway {__version__}")
    elif ctx.invoked_subcommand is None:
        session.streams.out(ctx.get_help())
