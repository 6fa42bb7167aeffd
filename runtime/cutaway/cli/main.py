"""From words to an exit code: parse, run one command, turn whatever went wrong into one kind of error.

`invoke` is what both surfaces call: it raises `CommandError` for them to show. `main` is the terminal: it
shows the error on standard error and ends the process with the command's exit code.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import click

from cutaway.cli import streams
from cutaway.cli.failures import INTERRUPTED, REFUSED, CommandError, two_lines
from cutaway.cli.session import Session
from cutaway.cli.tree import closest, root
from cutaway.errors import CutawayError


def invoke(words: Sequence[str], session: Session) -> int:
    """Run one command and give its exit code: for `run`, the container's own.

    Raises CommandError for everything that the command could not do; KeyboardInterrupt when it was
    interrupted and had nothing to clear up.
    """
    try:
        result = root.main(
            list(words),
            prog_name=session.program,
            standalone_mode=False,
            obj=session,
            terminal_width=min(session.streams.width, 100),
        )
    except CommandError:
        raise
    except CutawayError as error:
        raise CommandError(error.message, error.hint, status=error.status) from error
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except click.ClickException as error:
        raise _from_click(error) from error
    return result if isinstance(result, int) else 0


def main(words: Sequence[str] | None = None) -> None:
    """The `cutaway` command. Ends the process."""
    if "_CUTAWAY_COMPLETE" in os.environ:
        _answer_the_shell()
    session = Session(streams.of_this_process())
    try:
        code = invoke(sys.argv[1:] if words is None else words, session)
    except CommandError as error:
        session.streams.err(two_lines(error))
        code = error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = 128 + signal.SIGPIPE  # `cutaway logs x | head`: the reader has what it wanted
    sys.exit(code)


def _answer_the_shell() -> None:
    """Completion: the shell runs this command again, with the words so far in its environment."""
    from cutaway.cli.completion import answer

    sys.exit(answer(os.environ))


def _from_click(error: click.ClickException) -> CommandError:
    path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "cutaway"
    see = f"see `{path} --help`"
    if isinstance(error, click.NoSuchOption):
        known = error.ctx.command.params if error.ctx else []
        names = [name for option in known if isinstance(option, click.Option) for name in option.opts]
        meant = closest(error.option_name, names) if error.option_name.startswith("--") else ""
        hint = f"did you mean {meant}? {see}" if meant else see
        return CommandError(f"unknown flag: {error.option_name}", hint, exit_code=REFUSED)
    if isinstance(error, click.MissingParameter):
        return CommandError(f"{path}: {_missing(error)} is missing", see)
    text = error.format_message().rstrip(".")
    about_a_flag = isinstance(error, click.BadOptionUsage) or (
        isinstance(error, click.BadParameter) and isinstance(error.param, click.Option)
    )
    return CommandError(text[:1].lower() + text[1:], see, exit_code=REFUSED if about_a_flag else 1)


def _missing(error: click.MissingParameter) -> str:
    if error.param is None:
        return "an argument"
    return error.param.make_metavar(error.ctx or click.Context(root)).rstrip(".")


if __name__ == "__main__":
    main()
