"""What can be wrong with a Dockerfile, told with the line and a caret.

The first line of the message is Docker's wording, because scripts match on it. The lines after it show the
source as the author wrote it, with a caret under the place, so that a client that prints nothing but the
message still points:

    dockerfile parse error line 3: unknown instruction: RNU
      3 | RNU apt-get update
        | ^^^
"""

from __future__ import annotations

import dataclasses

from cutaway.errors import BadInputError, CutawayError


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A stretch of one line of the file, as written in `source`. `line` counts from 1, `column` from 0."""

    line: int
    column: int
    width: int
    source: str

    def excerpt(self) -> str:
        """The line under its number, and a caret for each character of the stretch (at least one)."""
        margin = f"  {self.line} | "
        blank = " " * (len(margin) - 2) + "| "
        # A tab has to stay a tab below the line, or the caret stands elsewhere on the reader's screen.
        before = "".join("\t" if char == "\t" else " " for char in self.source[: self.column])
        width = max(1, min(self.width, len(self.source) - self.column))
        return f"{margin}{self.source}\n{blank}{before}{'^' * width}"


class DockerfileError(BadInputError):
    """The Dockerfile says something that cannot be followed. `place` is None when no line is to blame."""

    def __init__(self, problem: str, hint: str = "", *, place: Place | None = None) -> None:
        message = problem
        if place is not None:
            message = f"dockerfile parse error line {place.line}: {problem}\n{place.excerpt()}"
        super().__init__(message, hint)
        self.problem = problem
        self.place = place


class BuildFailedError(CutawayError):
    """The step in `line` was understood and failed. `code` is the exit code of a RUN, 0 for other steps."""

    status = 500
    exit_code = 1

    def __init__(self, message: str, hint: str = "", *, line: int = 0, code: int = 0) -> None:
        super().__init__(message, hint)
        self.line = line
        self.code = code
