"""`%container`, `%%container`, `%%dockerfile`: parse, call the command tree, which writes into the cell."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display

from cutaway.cli.failures import INTERRUPTED, CommandError, InterruptedCommandError
from cutaway.cli.main import invoke
from cutaway.cli.session import Session
from cutaway.cli.streams import Streams, of_a_cell
from cutaway.errors import CutawayError
from cutaway_jupyter.magics.expand import words_of

PROGRAM = "%container"


@magics_class
class ContainerMagics(Magics):
    """The magics. The exit code of the last command is the variable `_exit_code`, as after `!command`."""

    shell: InteractiveShell

    @no_var_expand
    @line_cell_magic
    def container(self, line: str, cell: str | None = None) -> None:
        """Docker's commands: `%container run busybox echo hi`; with `%%` the cell is the input.

        `%container` alone lists the commands. Raises CommandError.
        """
        stdin = None if cell is None else io.BytesIO(cell.encode())
        self._end_with(lambda: self._run(line, stdin))

    @no_var_expand
    @line_cell_magic
    def dockerfile(self, line: str, cell: str | None = None) -> None:
        """`%%dockerfile -t NAME [FOLDER]`: build an image; FOLDER is what it copies from.

        The flags are those of `%container build`. Raises CommandError.
        """
        if cell is None:
            raise CommandError(
                "%dockerfile has no Dockerfile", "write %%dockerfile -t NAME, and the lines below it"
            )
        self._end_with(lambda: self._build(line, cell))

    def _run(self, line: str, stdin: io.BytesIO | None) -> int:
        words = self._words(line)
        if words[:1] == ["view"] and "--help" not in words:
            self._view(words[1:])
            return 0
        return invoke(words, Session(of_a_cell(stdin), "notebook", PROGRAM))

    def _build(self, line: str, cell: str) -> int:
        from cutaway_jupyter.magics.cells import build_words

        words = build_words(self._words(line), cell)
        return invoke(words, Session(of_a_cell(io.BytesIO(cell.encode())), "notebook", PROGRAM))

    def _view(self, words: Sequence[str]) -> None:
        from cutaway_jupyter.widgets import open_view

        if not words:
            raise CommandError("view takes the name of a view", "%container view --help lists them")
        display(open_view(words[0], list(words[1:])))  # type: ignore[no-untyped-call]

    def _words(self, line: str) -> list[str]:
        namespace: dict[str, Any] = self.shell.user_ns
        return words_of(line, namespace, self._output_of)

    def _output_of(self, line: str) -> str:
        """What a command in `$(…)` prints; its errors are this cell's."""
        pieces: list[bytes] = []
        into = Streams(None, pieces.append, of_a_cell().stderr)
        code = invoke(self._words(line), Session(into, "notebook", PROGRAM))
        if code:
            raise CommandError(f"$({line}) ended with {code}", exit_code=code)
        return b"".join(pieces).decode(errors="replace")

    def _end_with(self, work: Any) -> None:
        """Do the work, note its exit code, and show what went wrong in two lines."""
        names: dict[str, Any] = self.shell.user_ns
        try:
            names["_exit_code"] = work()
        except KeyboardInterrupt:
            names["_exit_code"] = INTERRUPTED
            raise InterruptedCommandError("nothing was left half made") from None
        except CutawayError as error:
            names["_exit_code"] = error.exit_code
            raise
