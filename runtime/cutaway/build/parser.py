"""From the text of a Dockerfile to logical lines that remember where they stood.

A Dockerfile is read line by line. Lines at the top of the form `# escape=x` are directives. A line whose
first visible character is `#` is a comment, even between the parts of a continued instruction. A line that
ends in the escape character goes on in the next one. A RUN, COPY or ADD that says `<<NAME` takes the lines up
to `NAME` as a file of its own. What comes out is one `Line` for each instruction; `Line.place` finds the way
back from a character of the joined text to the line and column of the file, which is what errors point at.

Source: Dockerfile reference, "Format", "Parser directives", "Here-documents".
"""

from __future__ import annotations

import dataclasses
import re

from cutaway.build.failures import DockerfileError, Place

HEREDOC_KEYWORDS = ("RUN", "COPY", "ADD")
KNOWN_DIRECTIVES = ("escape", "syntax", "check")

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_COMMENT = re.compile(r"\s*#")
_HEREDOC = re.compile(r"""(?<![<\w])(\d*)<<(-?)(["']?)([A-Za-z0-9_.+-]+)\3(?=\s|$|[;|&>)])""")


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """Where a part of a logical line came from: from `offset` in the joined text on, `line` at `column`."""

    offset: int
    line: int
    column: int
    source: str


@dataclasses.dataclass(frozen=True, slots=True)
class Heredoc:
    """A file written in the Dockerfile. `expand`: its name was not quoted. `start`: of its mark in `rest`."""

    name: str
    content: str
    expand: bool
    start: int
    strip_tabs: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One instruction: its keyword in upper case and the rest of its joined text.

    `number` and `last` are the first and last line in the file, counted from 1. `rest_offset` is where `rest`
    begins in `text`. `written` is the keyword as the author wrote it.
    """

    number: int
    last: int
    text: str
    written: str
    rest: str
    rest_offset: int
    pieces: tuple[Piece, ...]
    heredocs: tuple[Heredoc, ...] = ()

    @property
    def keyword(self) -> str:
        """The instruction's name in upper case."""
        return self.written.upper()

    def place(self, offset: int = 0, width: int = 1) -> Place:
        """Where the character `offset` of `text` stands in the file."""
        piece = [piece for piece in self.pieces if piece.offset <= offset][-1]
        return Place(piece.line, piece.column + offset - piece.offset, width, piece.source)

    def place_in_rest(self, offset: int = 0, width: int = 1) -> Place:
        """The same, for a character of `rest`."""
        return self.place(self.rest_offset + offset, width)


@dataclasses.dataclass(frozen=True, slots=True)
class Dockerfile:
    """The instructions in order, and the escape character that holds for all of them."""

    lines: tuple[Line, ...]
    escape: str = "\\"


def parse(text: str, name: str = "Dockerfile") -> Dockerfile:
    """Split a Dockerfile into logical lines. Raises DockerfileError when it holds no instruction.

    `name` is the path that the error tells. A byte order mark and Windows line ends are accepted.
    """
    sources = text.removeprefix("\ufeff").split("\n")
    sources = [source.removesuffix("\r") for source in sources]
    escape, start = _directives(sources)
    reader = _Reader(sources, escape, start)
    lines = tuple(reader.lines())
    if not lines:
        raise DockerfileError(f"the Dockerfile ({name}) cannot be empty", "begin it with FROM IMAGE")
    return Dockerfile(lines, escape)


def _directives(sources: list[str]) -> tuple[str, int]:
    """The escape character, and the index of the first line that is not a directive."""
    escape, seen = "\\", set()
    for index, source in enumerate(sources):
        found = _DIRECTIVE.match(source)
        if found is None or found[1].lower() not in KNOWN_DIRECTIVES:
            return escape, index
        directive, value = found[1].lower(), found[2]
        place = Place(index + 1, found.start(2), len(value), source)
        if directive in seen:
            raise DockerfileError(f"only one {directive} parser directive can be used", place=place)
        seen.add(directive)
        if directive == "escape":
            if value not in ("\\", "`"):
                raise DockerfileError(
                    f"invalid escape token '{value}' does not match ` or \\",
                    "the escape character is a backslash or a backtick",
                    place=place,
                )
            escape = value
    return escape, len(sources)


class _Reader:
    """Goes through the file once; each round of `lines` takes one instruction with its heredocs."""

    def __init__(self, sources: list[str], escape: str, start: int) -> None:
        self.sources = sources
        self.next = start
        escaped = re.escape(escape)
        # An escape that is itself escaped ends no line: `echo \\` is complete.
        self.continued = re.compile(rf"(?:(?<=[^{escaped}])|^){escaped}[ \t]*$")

    def lines(self) -> list[Line]:
        found = []
        while self.next < len(self.sources):
            source = self.sources[self.next]
            if source.strip() and not _COMMENT.match(source):
                found += self._line()
            else:
                self.next += 1
        return found

    def _line(self) -> list[Line]:
        """The next instruction; none where nothing but an escape character stood."""
        first = self.next + 1
        text, pieces, last = self._join()
        found = re.match(r"(\S+)(\s*)(.*)", text, re.DOTALL)
        if found is None:
            return []
        written, gap, rest = found.groups()
        line = Line(first, last, text, written, rest, len(written) + len(gap), tuple(pieces))
        if line.keyword not in HEREDOC_KEYWORDS or line.rest.startswith("["):
            return [line]
        heredocs = tuple(self._heredoc(line, mark) for mark in _HEREDOC.finditer(line.rest))
        return [dataclasses.replace(line, heredocs=heredocs, last=self.next) if heredocs else line]

    def _join(self) -> tuple[str, list[Piece], int]:
        """Take lines up to one that does not go on; comments and empty lines between them are left out."""
        text, last = "", self.next + 1
        pieces: list[Piece] = []
        while self.next < len(self.sources):
            source = self.sources[self.next]
            self.next += 1
            if pieces and (not source.strip() or _COMMENT.match(source)):
                continue
            last = self.next
            body = source if pieces else source.lstrip()
            pieces.append(Piece(len(text), self.next, len(source) - len(body), source))
            part = self.continued.sub("", body)
            text += part
            if part == body:
                break
        return text.rstrip(), pieces, last

    def _heredoc(self, line: Line, mark: re.Match[str]) -> Heredoc:
        """Take the lines up to the name alone on a line (after its tabs, with `<<-`)."""
        _, dash, quote, name = mark.groups()
        content: list[str] = []
        while self.next < len(self.sources):
            source = self.sources[self.next]
            self.next += 1
            body = source.lstrip("\t") if dash else source
            if body == name:
                text = "".join(f"{row}\n" for row in content)
                return Heredoc(name, text, not quote, mark.start(), bool(dash))
            content.append(body)
        raise DockerfileError(
            f"unterminated heredoc: {name}",
            f"expected a line that says {name} and nothing else",
            place=line.place_in_rest(mark.start(), len(mark[0])),
        )
