"""Where a command's bytes come from and where they go.

A command never prints to `sys.stdout`: it writes bytes to the `Streams` that it was given. In a terminal
these end at the descriptors 1 and 2, so that `cutaway save busybox > x.tar` is exact; in a notebook they
end in the cell, decoded bit by bit, so that a character which arrives in two pieces is whole again.
"""

from __future__ import annotations

import codecs
import dataclasses
import os
import shutil
import sys
from collections.abc import Callable
from typing import Protocol, TextIO

Sink = Callable[[bytes], None]


class Source(Protocol):
    """What standard input needs to be: an empty answer means the end."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, as soon as there are any."""


@dataclasses.dataclass
class Streams:
    """Standard input, output and error of one command.

    `stdin` is None where nobody can type. `stdin_tty` and `stdout_tty` say whether a terminal is there.
    `width` is in characters.
    """

    stdin: Source | None
    stdout: Sink
    stderr: Sink
    stdin_tty: bool = False
    stdout_tty: bool = False
    width: int = 80

    def out(self, text: str) -> None:
        """Write one line of text to standard output."""
        self.stdout(f"{text}\n".encode("utf-8", "surrogateescape"))

    def err(self, text: str) -> None:
        """Write one line of text to standard error."""
        self.stderr(f"{text}\n".encode("utf-8", "surrogateescape"))

    def agreed(self, question: str) -> bool:
        """Ask, and read a line: whether it says yes. Where nobody can type it is no."""
        if self.stdin is None:
            return False
        self.stdout(f"{question} [y/N] ".encode())
        answer = b""
        while not answer.endswith(b"\n") and (data := self.stdin.read(1)):
            answer += data
        return answer.strip().lower() in (b"y", b"yes")


class Descriptor:
    """Reads a file descriptor without a buffer, so that a thread that waits in it holds no lock at exit."""

    def __init__(self, number: int) -> None:
        self._number = number

    def read(self, size: int, /) -> bytes:
        """What the kernel has, at most `size` bytes."""
        return os.read(self._number, size)


def write_to(descriptor: int) -> Sink:
    """A sink that ends at a descriptor. Raises BrokenPipeError when nobody reads any more."""

    def sink(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    return sink


def write_text_to(file: TextIO) -> Sink:
    """A sink that ends in a text file and is seen at once; bytes that are not UTF-8 become U+FFFD."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def sink(data: bytes) -> None:
        file.write(decoder.decode(data))
        file.flush()

    return sink


def of_this_process() -> Streams:
    """The streams of a command that was typed in a terminal or called by a script."""
    return Streams(
        stdin=Descriptor(0),
        stdout=write_to(1),
        stderr=write_to(2),
        stdin_tty=_is_terminal(0),
        stdout_tty=_is_terminal(1),
        width=shutil.get_terminal_size().columns,
    )


def of_a_cell(stdin: Source | None = None) -> Streams:
    """The streams of a notebook cell: output appears as it comes. `stdin` is the cell's text, if any."""
    return Streams(stdin=stdin, stdout=write_text_to(sys.stdout), stderr=write_text_to(sys.stderr), width=100)


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False
