r"""Words: quotes, escapes and variables as the Dockerfile reference defines them.

Some instructions replace `$NAME` and `${NAME}` by the values of ARG and ENV before they act. This is not a
shell, but it reads much like one: `'…'` keeps everything, `"…"` keeps spaces, the escape character takes the
next character as it is. The builder expands the words of ADD, ARG, COPY, ENV, EXPOSE, FROM, LABEL,
STOPSIGNAL, USER, VOLUME and WORKDIR. RUN, CMD and ENTRYPOINT are left to the shell in the container.

    word      = { quoted | escaped | variable | character }
    variable  = "$" name | "${" name [ [":"] ( "-" | "+" | "?" ) word ] "}"

With the colon an empty value counts as not set. A name that nobody set is empty.
Source: Dockerfile reference, "Environment replacement".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

SPECIAL_NAMES = "@*#?-$!0"


class WordError(Exception):
    """A word that cannot be read. `offset` counts from the start of the text that was expanded."""

    def __init__(self, problem: str, expected: str, offset: int) -> None:
        super().__init__(problem)
        self.problem = problem
        self.expected = expected
        self.offset = offset


@dataclasses.dataclass(frozen=True, slots=True)
class Word:
    """A word as written, quotes and escapes kept, and where it began."""

    text: str
    offset: int


def expand(
    text: str, variables: Mapping[str, str], escape: str = "\\", *, keep_quotes: bool = False
) -> str:
    """Replace variables, take off quotes and escapes. Raises WordError.

    With `keep_quotes`, as for the text of a heredoc, quotes mean nothing, and only an escape before `$` goes.
    """
    return "".join(part for part, _ in _Expander(text, variables, escape, keep_quotes).parts())


def expand_words(text: str, variables: Mapping[str, str], escape: str = "\\") -> list[str]:
    """The same, but an unquoted value with spaces becomes several words, as in EXPOSE. Raises WordError."""
    words: list[str] = []
    current: str | None = None
    for part, quoted in _Expander(text, variables, escape).parts():
        if quoted or not part.isspace():
            current = (current or "") + part
        elif current is not None:
            words.append(current)
            current = None
    return words if current is None else [*words, current]


def split(text: str, escape: str = "\\") -> list[Word]:
    """Words between unquoted white space, unexpanded; `a="b c"` is one word. Never fails: expanding tells."""
    words: list[Word] = []
    start, quote, index = -1, "", 0
    while index < len(text):
        char = text[index]
        if not quote and char.isspace():
            if start >= 0:
                words.append(Word(text[start:index], start))
            start = -1
        else:
            start = index if start < 0 else start
            if char == escape and quote != "'":
                index += 1
            elif quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
        index += 1
    return words if start < 0 else [*words, Word(text[start:], start)]


class _Expander:
    """One pass over one text. Parts are single characters of the result, each with "came from quotes"."""

    def __init__(
        self, text: str, variables: Mapping[str, str], escape: str, keep_quotes: bool = False
    ) -> None:
        self.keep_quotes = keep_quotes
        self.text = text
        self.variables = variables
        self.escape = escape
        self.index = 0

    def parts(self) -> list[tuple[str, bool]]:
        return self._until("")

    def _peek(self) -> str:
        return self.text[self.index : self.index + 1]

    def _take(self) -> str:
        char = self._peek()
        self.index += 1
        return char

    def _until(self, stop: str) -> list[tuple[str, bool]]:
        found: list[tuple[str, bool]] = []
        while self.index < len(self.text):
            char = self._peek()
            if stop and char == stop:
                self.index += 1
                return found
            if char == "$":
                found += [(each, False) for each in self._dollar()]
            elif self.keep_quotes:
                found.append((self._plain(), True))
            elif char == "'":
                found += self._single()
            elif char == '"':
                found += self._double()
            else:
                self.index += 1
                if char != self.escape:
                    found.append((char, False))
                elif self._peek():  # at the end of a word the escape has nothing to escape and goes
                    found.append((self._take(), True))
        if stop:
            raise WordError("syntax error: missing '}'", "expected } after the variable", len(self.text))
        return found

    def _plain(self) -> str:
        char = self._take()
        return self._take() if char == self.escape and self._peek() == "$" else char

    def _single(self) -> list[tuple[str, bool]]:
        end = self.text.find("'", self.index + 1)
        if end < 0:
            raise WordError(
                "unexpected end of statement while looking for matching single-quote",
                "expected a closing '",
                self.index,
            )
        inner = self.text[self.index + 1 : end]
        self.index = end + 1
        return [(char, True) for char in inner] or [("", True)]

    def _double(self) -> list[tuple[str, bool]]:
        start = self.index
        self.index += 1
        found: list[tuple[str, bool]] = [("", True)]  # so that "" is a word
        while self.index < len(self.text):
            char = self._peek()
            if char == '"':
                self.index += 1
                return found
            if char == "$":
                found += [(each, True) for each in self._dollar()]
                continue
            self.index += 1
            if char == self.escape and self._peek() in ('"', "$", self.escape):
                char = self._take()
            found.append((char, True))
        raise WordError(
            "unexpected end of statement while looking for matching double-quote",
            'expected a closing "',
            start,
        )

    def _dollar(self) -> str:
        start = self.index
        self.index += 1
        if self._peek() != "{":
            name = self._name()
            return self.variables.get(name, "") if name else "$"
        self.index += 1
        name = self._name()
        if not name:
            problem = "syntax error: bad substitution" if self._peek() else "syntax error: missing '}'"
            raise WordError(problem, "expected a name after ${", start)
        if self._peek() == "}":
            self.index += 1
            return self.variables.get(name, "")
        return self._modified(name, start)

    def _modified(self, name: str, start: int) -> str:
        colon = self._peek() == ":"
        self.index += colon
        modifier = self._take()
        if not modifier:
            raise WordError("syntax error: missing '}'", "expected } after the variable", start)
        if modifier not in "-+?":
            problem = f"unsupported modifier ({':' if colon else ''}{modifier}) in substitution"
            raise WordError(problem, "expected one of :- :+ :? - + ?", self.index - 1 - colon)
        word = "".join(part for part, _ in self._until("}"))
        value = self.variables.get(name)
        present = bool(value) if colon else value is not None
        if modifier == "+":
            return word if present else ""
        if not present and modifier == "?":
            wanted = "empty" if colon and value is not None else "unset"
            problem = f"{name}: {word or f'not allowed to be {wanted}'}"
            raise WordError(problem, f"set {name} with ARG or ENV", start)
        return (value or "") if present else word

    def _name(self) -> str:
        start = self.index
        first = self._peek()
        if first.isalpha() or first == "_":
            while (char := self._peek()) and (char.isalnum() or char == "_"):
                self.index += 1
        elif first and first in "123456789":
            while self._peek().isdigit():
                self.index += 1
        elif first and first in SPECIAL_NAMES:
            self.index += 1
        return self.text[start : self.index]
