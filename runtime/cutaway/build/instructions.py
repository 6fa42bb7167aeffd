"""The instructions of a Dockerfile as values.

Each instruction is a frozen value that knows its line. What may hold variables is kept as a `Word`: the text
as written with its offset, because ARG and ENV get their values only while the build runs, and an error in
a variable has to point as well as one in the grammar. `cutaway.build.grammar` makes these values, the
executor acts on them.

Source: Dockerfile reference; the names of the classes are the names of the instructions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from cutaway.build.failures import DockerfileError
from cutaway.build.parser import Line
from cutaway.build.words import Word, WordError, expand, expand_words


@dataclasses.dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction and where it stands."""

    line: Line

    @property
    def keyword(self) -> str:
        """`RUN`, `COPY`, … in upper case."""
        return self.line.keyword

    def expand(self, word: Word, variables: Mapping[str, str], escape: str) -> str:
        """The word with its variables replaced. Raises DockerfileError that points into the word."""
        try:
            return expand(word.text, variables, escape)
        except WordError as error:
            raise self._pointing(word, error) from error

    def expand_words(self, word: Word, variables: Mapping[str, str], escape: str) -> list[str]:
        """The words that one written word becomes. Raises DockerfileError that points into the word."""
        try:
            return expand_words(word.text, variables, escape)
        except WordError as error:
            raise self._pointing(word, error) from error

    def fault(self, problem: str, hint: str = "", *, word: Word | None = None) -> DockerfileError:
        """An error that points at `word`, or else at the instruction's keyword."""
        if word is None:
            return DockerfileError(problem, hint, place=self.line.place(0, len(self.line.written)))
        return DockerfileError(problem, hint, place=self.line.place_in_rest(word.offset, len(word.text)))

    def _pointing(self, word: Word, error: WordError) -> DockerfileError:
        place = self.line.place_in_rest(word.offset + error.offset)
        return DockerfileError(error.problem, error.expected, place=place)


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """What RUN, CMD and ENTRYPOINT start. `shell`: one text for the shell; else the words of the program."""

    shell: bool
    words: tuple[str, ...]

    def argv(self, shell: tuple[str, ...]) -> list[str]:
        """The program's words: the shell form behind the words of SHELL."""
        return [*shell, *self.words] if self.shell else list(self.words)


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """A name and a value, as written. `value` is None for an ARG without a default."""

    name: Word
    value: Word | None


@dataclasses.dataclass(frozen=True, slots=True)
class From(Instruction):
    """FROM image [AS alias]: begins a stage. `alias` is lower case, empty when there is none."""

    image: Word
    alias: str
    platform: Word | None


@dataclasses.dataclass(frozen=True, slots=True)
class Arg(Instruction):
    """ARG name[=default] …"""

    pairs: tuple[Pair, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Env(Instruction):
    """ENV name=value … or ENV name value."""

    pairs: tuple[Pair, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Label(Instruction):
    """LABEL name=value …"""

    pairs: tuple[Pair, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Run(Instruction):
    """RUN command. Heredocs are already part of the command's text."""

    command: Command


@dataclasses.dataclass(frozen=True, slots=True)
class Copy(Instruction):
    """COPY and ADD. `stage` is the value of --from, empty for the build context.

    A source that is the name of one of the line's heredocs, written `<<NAME`, stands for its content.
    """

    sources: tuple[Word, ...]
    destination: Word
    stage: Word | None
    chown: Word | None
    chmod: Word | None


@dataclasses.dataclass(frozen=True, slots=True)
class Workdir(Instruction):
    """WORKDIR path."""

    path: Word


@dataclasses.dataclass(frozen=True, slots=True)
class User(Instruction):
    """USER name[:group]."""

    user: Word


@dataclasses.dataclass(frozen=True, slots=True)
class StopSignal(Instruction):
    """STOPSIGNAL signal."""

    signal: Word


@dataclasses.dataclass(frozen=True, slots=True)
class Maintainer(Instruction):
    """MAINTAINER name: the image's author."""

    author: str


@dataclasses.dataclass(frozen=True, slots=True)
class Expose(Instruction):
    """EXPOSE port[/protocol] …"""

    ports: tuple[Word, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Volume(Instruction):
    """VOLUME path …"""

    paths: tuple[Word, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Entrypoint(Instruction):
    """ENTRYPOINT command; None takes an inherited one away (`ENTRYPOINT []`)."""

    command: Command | None


@dataclasses.dataclass(frozen=True, slots=True)
class Cmd(Instruction):
    """CMD command; None takes an inherited one away (`CMD []`)."""

    command: Command | None


@dataclasses.dataclass(frozen=True, slots=True)
class Shell(Instruction):
    """SHELL ["program", "argument"]: what the shell form is given to."""

    words: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Healthcheck(Instruction):
    """HEALTHCHECK NONE or CMD command. Durations in nanoseconds, 0 for the default."""

    test: tuple[str, ...]
    command: Command | None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """A FROM and what follows up to the next one. `index` counts from 0."""

    index: int
    base: From
    instructions: tuple[Instruction, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """A whole Dockerfile: the ARGs before the first FROM, and the stages."""

    arguments: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    escape: str
