"""Patterns over paths: `.dockerignore` and the sources of COPY.

A `.dockerignore` has one pattern a line. `*` and `?` stop at a slash, `**` does not, `[a-z]` is a class, a
backslash takes the next character as it is. A pattern that matches a folder matches all below it. `!` takes
back what an earlier line left out: the last line that matches decides.

Source: Dockerfile reference, ".dockerignore file"; the classes and escapes are those of Go's filepath.Match.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
from functools import lru_cache

from cutaway.errors import BadInputError


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One line: the pattern without its `!`, and whether it takes paths back in."""

    pattern: str
    keeps: bool


@dataclasses.dataclass(frozen=True, slots=True)
class IgnoreFile:
    """All rules of one `.dockerignore`, in order."""

    rules: tuple[Rule, ...] = ()

    @classmethod
    def parse(cls, text: str) -> IgnoreFile:
        """Read a `.dockerignore`. Raises BadInputError for a pattern that cannot be."""
        rules = []
        for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
            pattern = "" if line.startswith("#") else line.strip()
            if not pattern:
                continue
            keeps = pattern.startswith("!")
            pattern = posixpath.normpath(pattern[keeps:].strip()).lstrip("/")
            try:
                translate(pattern)
            except BadInputError as error:
                raise BadInputError(f".dockerignore line {number}: {error.message}", error.hint) from error
            if pattern not in ("", "."):
                rules.append(Rule(pattern, keeps))
        return cls(tuple(rules))

    def excludes(self, path: str) -> bool:
        """Whether the path (relative to the context, without a leading slash) is left out."""
        excluded = False
        for rule in self.rules:
            if rule.keeps == excluded and _matches_or_parent(rule.pattern, path):
                excluded = not rule.keeps
        return excluded


def matches(pattern: str, path: str) -> bool:
    """Whether the whole path matches the pattern."""
    return translate(pattern).fullmatch(path) is not None


def has_wildcard(pattern: str) -> bool:
    """Whether the pattern is more than a plain path."""
    return re.search(r"[*?\[]", re.sub(r"\\.", "", pattern)) is not None


@lru_cache(maxsize=512)
def translate(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression. Raises BadInputError for an open `[` or a lone last backslash."""
    out, index = [], 0
    while index < len(pattern):
        char = pattern[index]
        if pattern.startswith("**", index):
            index += 2
            if pattern.startswith("/", index):
                index += 1
                out.append("(?:.*/)?")
            else:
                out.append(".*")
            continue
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            text, index = _class(pattern, index)
            out.append(text)
            continue
        elif char == "\\":
            index += 1
            if index == len(pattern):
                raise _bad(pattern)
            out.append(re.escape(pattern[index]))
        else:
            out.append(re.escape(char))
        index += 1
    return re.compile("".join(out), re.DOTALL)


def _class(pattern: str, start: int) -> tuple[str, int]:
    """`[a-z]` or `[^a-z]` from `start` on: its regular expression, and the index after it."""
    index = start + 1
    negated = pattern.startswith("^", index)
    index += negated
    ranges = []
    while index < len(pattern) and pattern[index] != "]":
        low, index = _class_char(pattern, index)
        high = low
        if pattern.startswith("-", index):
            high, index = _class_char(pattern, index + 1)
        if high < low:
            raise _bad(pattern)
        ranges.append(f"{re.escape(low)}-{re.escape(high)}")
    if index >= len(pattern) or not ranges:
        raise _bad(pattern)
    return f"(?!/)[{'^' if negated else ''}{''.join(ranges)}]", index + 1


def _class_char(pattern: str, index: int) -> tuple[str, int]:
    if index < len(pattern) and pattern[index] == "\\":
        index += 1
    if index >= len(pattern) or (pattern[index] in "-]" and pattern[index - 1] != "\\"):
        raise _bad(pattern)
    return pattern[index], index + 1


def _bad(pattern: str) -> BadInputError:
    hint = "a [ needs its ], a \\ needs a character after it"
    return BadInputError(f"syntax error in pattern: {pattern}", hint)


def _matches_or_parent(pattern: str, path: str) -> bool:
    while path:
        if matches(pattern, path):
            return True
        path = posixpath.dirname(path)
    return False
