"""What a shell would put in place before a command sees its words: `$(…)`, `$NAME`, `~`.

The kernel's own expansion is off for these magics, because it turns `{{.Names}}` into `{.Names}`. In its
place:

- `$(ps -q -a)`: the words that this container command prints; `$(pwd)` is the notebook's folder;
- `$NAME`, `${NAME}`: the notebook's variable of that name, else the environment's; else it stays as it is;
- nothing inside single quotes; one word only inside double quotes; `\\$` is a dollar sign.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping

from cutaway.cli.failures import CommandError

_NAME = re.compile(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))")
_SPACES = " \t\n"


def words_of(line: str, variables: Mapping[str, object], run: Callable[[str], str]) -> list[str]:
    """The words of a command line. `run` gives the output of the command in `$(…)`.

    Raises CommandError for a quote or parenthesis that is not closed.
    """
    return _Reader(line, variables, run).words()


class _Reader:
    def __init__(self, line: str, variables: Mapping[str, object], run: Callable[[str], str]) -> None:
        self._line = line
        self._at = 0
        self._variables = variables
        self._run = run
        self._words: list[str] = []
        self._word: str | None = None  # None: between words; "": an empty word has begun, as by ''

    def words(self) -> list[str]:
        while self._at < len(self._line):
            char = self._line[self._at]
            if char in _SPACES:
                self._end_word()
                self._at += 1
            elif char == "'":
                self._add(self._until("'"))
            elif char == '"':
                self._double_quoted()
            elif char == "\\" and self._at + 1 < len(self._line):
                self._add(self._line[self._at + 1])
                self._at += 2
            elif char == "$":
                self._dollar(quoted=False)
            elif (
                char == "~"
                and self._word is None
                and self._line[self._at + 1 : self._at + 2] in ("", "/", " ")
            ):
                self._add(os.path.expanduser("~"))  # noqa: PTH111 - text for a command line
                self._at += 1
            else:
                self._add(char)
                self._at += 1
        self._end_word()
        return self._words

    def _add(self, text: str) -> None:
        self._word = (self._word or "") + text

    def _end_word(self) -> None:
        if self._word is not None:
            self._words.append(self._word)
            self._word = None

    def _until(self, quote: str) -> str:
        end = self._line.find(quote, self._at + 1)
        if end < 0:
            raise CommandError(
                f"a {quote} is not closed: {self._line[self._at :]}", "close it, or put \\ before it"
            )
        text = self._line[self._at + 1 : end]
        self._at = end + 1
        return text

    def _double_quoted(self) -> None:
        start = self._at
        self._add("")
        self._at += 1
        while self._at < len(self._line):
            char = self._line[self._at]
            if char == '"':
                self._at += 1
                return
            if char == "\\" and self._line[self._at + 1 : self._at + 2] in ('"', "\\", "$", "`"):
                self._add(self._line[self._at + 1])
                self._at += 2
            elif char == "$":
                self._dollar(quoted=True)
            else:
                self._add(char)
                self._at += 1
        raise CommandError(f'a " is not closed: {self._line[start:]}', "close it, or put \\ before it")

    def _dollar(self, *, quoted: bool) -> None:
        if self._line.startswith("$(", self._at):
            text = self._output(self._parenthesised())
            self._put(text, quoted=quoted)
            return
        match = _NAME.match(self._line, self._at)
        if match is None:
            self._add("$")
            self._at += 1
            return
        self._at = match.end()
        name = match[1] or match[2]
        if name in self._variables:
            self._put(_text(self._variables[name]), quoted=quoted)
        else:
            self._put(os.environ.get(name, match[0]), quoted=quoted)

    def _put(self, text: str, *, quoted: bool) -> None:
        """Unquoted text becomes the words that it has; the first joins what stands before it."""
        if quoted:
            self._add(text)
            return
        if text[:1] in _SPACES and text:
            self._end_word()
        for index, word in enumerate(text.split()):
            if index:
                self._end_word()
            self._add(word)
        if text[-1:] in _SPACES and text.strip():
            self._end_word()

    def _parenthesised(self) -> str:
        depth, start = 0, self._at + 2
        for position in range(self._at + 1, len(self._line)):
            depth += {"(": 1, ")": -1}.get(self._line[position], 0)
            if depth == 0:
                self._at = position + 1
                return self._line[start:position]
        raise CommandError(f"a $( is not closed: {self._line[self._at :]}")

    def _output(self, command: str) -> str:
        if command.strip() == "pwd":
            return os.getcwd()  # noqa: PTH109 - text for a command line
        return self._run(command.strip().removeprefix("%container ")).rstrip("\n")


def _text(value: object) -> str:
    """A variable as words: a list is its items, as in `rm $names`."""
    if isinstance(value, list | tuple):
        return " ".join(str(item) for item in value)
    return str(value)
