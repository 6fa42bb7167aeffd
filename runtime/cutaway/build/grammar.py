"""The grammar of each instruction: from a logical line to a value, or to an error that points.

`KEYWORDS` maps a keyword to the function that reads it; a new instruction is a new entry. What Docker knows
and this builder does not yet is listed by name and refused, never dropped: an image that silently lacks a
step would be worse than none.

Source: Dockerfile reference. Messages about the number of arguments are worded as Docker words them.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable

from cutaway.build.failures import DockerfileError
from cutaway.build.instructions import (
    Arg,
    Cmd,
    Command,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Pair,
    Program,
    Run,
    Shell,
    Stage,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from cutaway.build.parser import Dockerfile, Line, parse
from cutaway.build.words import Word, split

UNSUPPORTED_KEYWORDS = ("ONBUILD",)
FLAGS = {
    "FROM": ("platform",),
    "COPY": ("from", "chown", "chmod"),
    "ADD": ("chown", "chmod"),
    "HEALTHCHECK": ("interval", "timeout", "start-period", "start-interval", "retries"),
}
UNSUPPORTED_FLAGS = {
    "RUN": ("mount", "network", "security", "device"),
    "COPY": ("link", "parents", "exclude"),
    "ADD": ("link", "exclude", "checksum", "keep-git-dir", "unpack"),
}

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def read_dockerfile(text: str, name: str = "Dockerfile") -> Program:
    """Read a whole Dockerfile. Raises DockerfileError; `name` is the path that errors tell."""
    dockerfile = parse(text, name)
    arguments: list[Arg] = []
    stages: list[Stage] = []
    for line in dockerfile.lines:
        instruction = read_instruction(line, dockerfile)
        if isinstance(instruction, From):
            stages.append(Stage(len(stages), instruction, ()))
        elif stages:
            last = stages[-1]
            stages[-1] = Stage(last.index, last.base, (*last.instructions, instruction))
        elif isinstance(instruction, Arg):
            arguments.append(instruction)
        else:
            hint = "begin with FROM IMAGE; only ARG may stand before it"
            raise instruction.fault("no build stage in current context", hint)
    if not stages:
        raise arguments[-1].fault("no build stage in current context", "an ARG needs a FROM after it")
    return Program(tuple(arguments), tuple(stages), dockerfile.escape)


def read_instruction(line: Line, dockerfile: Dockerfile) -> Instruction:
    """Read one logical line. Raises DockerfileError."""
    bare = Instruction(line)
    reader = KEYWORDS.get(line.keyword)
    if reader is None:
        if line.keyword in UNSUPPORTED_KEYWORDS:
            raise bare.fault(
                f"{line.keyword} is not supported yet", "take the line out, or build it with another engine"
            )
        raise bare.fault(f"unknown instruction: {line.keyword}", did_you_mean(line.keyword, KEYWORDS))
    return reader(Reading(line, dockerfile.escape))


def did_you_mean(word: str, known: object) -> str:
    """A hint with the nearest of the known words, or with all of them."""
    names = [str(name) for name in known]  # type: ignore[attr-defined]
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(sorted(names))}"


class Reading:
    """A line while it is read: the flags at its start, then the words or the JSON list after them."""

    def __init__(self, line: Line, escape: str) -> None:
        self.line = line
        self.escape = escape
        self.instruction = Instruction(line)
        self.flags: dict[str, Word] = {}
        self.start = self._flags()

    @property
    def text(self) -> str:
        """What follows the flags, as written."""
        return self.line.rest[self.start :]

    def words(self) -> list[Word]:
        """The words after the flags."""
        return [Word(word.text, word.offset + self.start) for word in split(self.text, self.escape)]

    def listed(self) -> list[Word] | None:
        """The words of a JSON list of strings; None when the text is no such list: the shell form."""
        if not self.text.startswith("["):
            return None
        try:
            values = json.loads(self.text)
        except ValueError:
            return None
        if not all(isinstance(value, str) for value in values):
            return None
        return [Word(value, self.start) for value in values]

    def arguments(self, least: int = 1) -> list[Word]:
        """JSON words or plain words. Raises DockerfileError when there are fewer than `least`."""
        words = self.listed()
        words = self.words() if words is None else words
        if len(words) < least:
            raise self.fault(f"{self.line.keyword} requires at least one argument")
        return words

    def only(self) -> Word:
        """The rest of the line as one word, spaces kept. Raises DockerfileError when it is empty."""
        if not self.text:
            raise self.fault(f"{self.line.keyword} requires exactly one argument")
        return Word(self.text, self.start)

    def fault(self, problem: str, hint: str = "", *, word: Word | None = None) -> DockerfileError:
        """An error that points at the word, or at the keyword."""
        return self.instruction.fault(problem, hint, word=word)

    def _flags(self) -> int:
        """Read `--name=value` words; returns where the text after them begins."""
        keyword, rest = self.line.keyword, self.line.rest
        for word in split(rest, self.escape):
            if not word.text.startswith("--") or keyword in ("CMD", "ENTRYPOINT", "MAINTAINER"):
                return word.offset
            if word.text == "--":
                return word.offset + 2 + len(rest[word.offset + 2 :]) - len(rest[word.offset + 2 :].lstrip())
            name, equals, value = word.text[2:].partition("=")
            if name in UNSUPPORTED_FLAGS.get(keyword, ()):
                raise self.fault(f"{keyword} --{name} is not supported yet", "take the flag out", word=word)
            if name not in FLAGS.get(keyword, ()):
                known = [f"--{flag}" for flag in FLAGS.get(keyword, ())]
                hint = did_you_mean(f"--{name}", known) if known else f"{keyword} has no flags here"
                raise self.fault(f"unknown flag: --{name}", hint, word=word)
            if not equals:
                raise self.fault(f"missing a value on flag: --{name}", f"expected --{name}=VALUE", word=word)
            self.flags[name] = Word(value, word.offset + len(name) + 3)
        return len(rest)


def _from(reading: Reading) -> From:
    words = reading.words()
    if len(words) not in (1, 3):
        hint = "expected FROM IMAGE or FROM IMAGE AS NAME"
        raise reading.fault("FROM requires either one or three arguments", hint)
    alias = ""
    if len(words) == 3:
        if words[1].text.upper() != "AS":
            hint = "expected AS before the stage's name"
            raise reading.fault("FROM requires either one or three arguments", hint, word=words[1])
        alias = words[2].text.lower()
        if not _STAGE_NAME.fullmatch(alias):
            hint = "expected a letter, then letters, digits, - _ or ."
            raise reading.fault(f'invalid name for build stage: "{words[2].text}"', hint, word=words[2])
    return From(reading.line, words[0], alias, reading.flags.get("platform"))


def _pairs(reading: Reading) -> tuple[Pair, ...]:
    """`name=value …`, or, when the first word has no `=`, `name value` up to the end of the line."""
    words, keyword = reading.words(), reading.line.keyword
    if not words:
        raise reading.fault(f"{keyword} requires at least one argument", f"expected {keyword} NAME=VALUE")
    if "=" not in words[0].text:
        parts = reading.text.split(None, 1)
        if len(parts) < 2:
            hint = f"expected {keyword} NAME=VALUE"
            raise reading.fault(f"{keyword} must have two arguments", hint, word=words[0])
        return (Pair(Word(parts[0], reading.start), Word(parts[1], len(reading.line.rest) - len(parts[1]))),)
    return tuple(_pair(reading, word) for word in words)


def _pair(reading: Reading, word: Word) -> Pair:
    name, equals, value = word.text.partition("=")
    if not equals:
        problem = f'Syntax error - can\'t find = in "{word.text}". Must be of the form: name=value'
        raise reading.fault(problem, "put a value with spaces in quotes", word=word)
    if not name:
        keyword = reading.line.keyword
        raise reading.fault(f"{keyword} names can not be blank", "expected NAME=VALUE", word=word)
    return Pair(Word(name, word.offset), Word(value, word.offset + len(name) + 1))


def _arg(reading: Reading) -> Arg:
    words = reading.words()
    if not words:
        raise reading.fault("ARG requires at least one argument", "expected ARG NAME or ARG NAME=DEFAULT")
    pairs = [_pair(reading, word) if "=" in word.text else Pair(word, None) for word in words]
    return Arg(reading.line, tuple(pairs))


def _command(reading: Reading) -> Command | None:
    """The JSON form, else the shell form; None for an empty list."""
    listed = reading.listed()
    if listed is not None:
        return Command(False, tuple(word.text for word in listed)) if listed else None
    if not reading.text:
        keyword = reading.line.keyword
        raise reading.fault(f"{keyword} requires at least one argument", f"expected {keyword} COMMAND")
    return Command(True, (reading.text,))


def _run(reading: Reading) -> Run:
    command = _command(reading)
    if command is None:
        raise reading.fault("RUN requires at least one argument", "expected RUN COMMAND")
    heredocs = reading.line.heredocs
    if not heredocs:
        return Run(reading.line, command)
    alone = split(reading.text, reading.escape)
    if len(alone) == 1 and len(heredocs) == 1:  # `RUN <<EOF`: the text itself is the script
        script = heredocs[0].content
        if script.startswith("#!"):
            hint = "write the script with COPY <<NAME and run that file"
            raise reading.fault("a RUN heredoc with its own interpreter is not supported yet", hint)
        return Run(reading.line, Command(True, (script,)))
    tail = "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in heredocs)
    return Run(reading.line, Command(True, (f"{reading.text}{tail}\n",)))


def _copy(reading: Reading) -> Copy:
    words, keyword = reading.arguments(), reading.line.keyword
    if len(words) < 2:
        raise reading.fault(
            f"{keyword} requires at least two arguments, but only one was provided. "
            "Destination could not be determined",
            f"expected {keyword} SOURCE… DESTINATION",
        )
    *sources, destination = words
    for source in sources:
        if re.match(r"(https?|git|ssh)://|git@", source.text):
            problem = "source can't be a URL for COPY"
            if keyword == "ADD":
                problem = "ADD of a URL is not supported yet"
            raise reading.fault(problem, "download it beside the Dockerfile first", word=source)
    flags = reading.flags
    return Copy(
        reading.line, tuple(sources), destination, flags.get("from"), flags.get("chown"), flags.get("chmod")
    )


def _shell(reading: Reading) -> Shell:
    words = reading.listed()
    if not words:
        hint = 'expected SHELL ["/bin/sh", "-c"]'
        raise reading.fault("SHELL requires the arguments to be in JSON form", hint)
    return Shell(reading.line, tuple(word.text for word in words))


def _maintainer(reading: Reading) -> Maintainer:
    return Maintainer(reading.line, reading.only().text)


def _user(reading: Reading) -> User:
    words = reading.words()
    if len(words) != 1:
        raise reading.fault("USER requires exactly one argument", "expected USER NAME or USER NAME:GROUP")
    return User(reading.line, words[0])


def _stopsignal(reading: Reading) -> StopSignal:
    words = reading.words()
    if len(words) != 1:
        raise reading.fault("STOPSIGNAL requires exactly one argument", "expected STOPSIGNAL SIGTERM")
    return StopSignal(reading.line, words[0])


def _healthcheck(reading: Reading) -> Healthcheck:
    words = reading.words()
    kind = words[0].text.upper() if words else ""
    if kind == "NONE" and len(words) == 1:
        return Healthcheck(reading.line, ("NONE",), None)
    if kind != "CMD" or len(words) < 2:
        problem = f'Unknown type "{kind}" in HEALTHCHECK (try CMD)' if kind not in ("", "CMD", "NONE") else ""
        problem = problem or "Missing command after HEALTHCHECK CMD"
        raise reading.fault(problem, "expected CMD COMMAND or NONE", word=words[0] if words else None)
    reading.start = words[1].offset
    command = _command(reading)
    times = {name.replace("-", "_"): _duration(reading, name) for name in FLAGS["HEALTHCHECK"][:-1]}
    retries = reading.flags.get("retries")
    if retries is not None and not retries.text.isdigit():
        raise reading.fault(f"--retries must be a number, not {retries.text}", word=retries)
    count = int(retries.text) if retries else 0
    return Healthcheck(reading.line, (), command, **times, retries=count)


def _duration(reading: Reading, name: str) -> int:
    """Nanoseconds of a Go duration such as `1m30s`; 0 when the flag is not there."""
    word = reading.flags.get(name)
    if word is None:
        return 0
    parts = _DURATION.findall(word.text)
    if "".join(f"{number}{unit}" for number, unit in parts) != word.text or not parts:
        raise reading.fault(f'invalid duration "{word.text}"', "expected for example 30s or 1m30s", word=word)
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return int(total)


def _words_of(reading: Reading) -> tuple[Word, ...]:
    return tuple(reading.arguments())


KEYWORDS: dict[str, Callable[[Reading], Instruction]] = {
    "FROM": _from,
    "ARG": _arg,
    "ENV": lambda reading: Env(reading.line, _pairs(reading)),
    "LABEL": lambda reading: Label(reading.line, _pairs(reading)),
    "RUN": _run,
    "COPY": _copy,
    "ADD": _copy,
    "WORKDIR": lambda reading: Workdir(reading.line, reading.only()),
    "EXPOSE": lambda reading: Expose(reading.line, _words_of(reading)),
    "VOLUME": lambda reading: Volume(reading.line, _words_of(reading)),
    "USER": _user,
    "CMD": lambda reading: Cmd(reading.line, _command(reading)),
    "ENTRYPOINT": lambda reading: Entrypoint(reading.line, _command(reading)),
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "MAINTAINER": _maintainer,
    "HEALTHCHECK": _healthcheck,
}
