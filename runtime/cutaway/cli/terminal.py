"""The user's own terminal while a program in a container has it.

In raw mode the terminal edits nothing and makes no signals: Ctrl-C is a byte that goes to the program,
whose own terminal (the container's pty) makes the signal of it. Its size is told at the start and at each
SIGWINCH.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import termios
import tty
from collections.abc import Callable, Iterator
from typing import Any

from cutaway.cli.failures import REFUSED, CommandError
from cutaway.cli.streams import Source

DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"


@contextlib.contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Put the terminal into raw mode, and back whatever happens."""
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def told_of_its_size(resize: Callable[[int, int], None]) -> Iterator[None]:
    """Call `resize(rows, columns)` now and whenever the window changes."""

    def tell(*_: Any) -> None:
        size = shutil.get_terminal_size()
        with contextlib.suppress(CommandError):  # the program may have ended meanwhile
            resize(size.lines, size.columns)

    before = signal.signal(signal.SIGWINCH, tell)
    try:
        tell()
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def key_bytes(keys: str) -> bytes:
    """The bytes of `ctrl-p,ctrl-q`; of `a,b`. Raises CommandError for what is no key."""
    found = bytearray()
    for key in keys.split(","):
        letter = key.removeprefix("ctrl-")
        if len(letter) != 1 or not letter.isascii():
            raise CommandError(f'invalid detach keys ({keys}): unknown character "{key}"', exit_code=REFUSED)
        found.append(ord(letter.upper()) & 0x1F if key != letter else ord(letter))
    return bytes(found)


class UntilDetached:
    """A source that ends when the detach keys are typed; `detached` says whether they were.

    A first part of the keys is held back until the next key shows whether the rest follows.
    """

    def __init__(self, source: Source, keys: bytes) -> None:
        self._source = source
        self._keys = keys
        self._held = b""
        self.detached = False

    def read(self, size: int, /) -> bytes:
        """What was typed and is not part of the keys; empty at the end."""
        while not self.detached:
            data = self._source.read(size)
            if not data:
                rest, self._held = self._held, b""
                return rest
            passed = self._pass(data)
            if passed:
                return passed
        return b""

    def _pass(self, data: bytes) -> bytes:
        out = bytearray()
        for number in data:
            self._held += bytes([number])
            while self._held and not self._keys.startswith(self._held):
                out.append(self._held[0])
                self._held = self._held[1:]
            if self._held == self._keys:
                self.detached = True
                break
        return bytes(out)
