"""One client that watches a process, and perhaps types: its connection, as the engine handed it over.

Output goes out in Docker's frames (one byte stream number, three zeros, four bytes length, then the data;
Engine API, "Stream format"), or as it is when the process has a terminal. What the client has not read yet
waits in a bounded buffer; beyond it `full` tells the process's side to stop reading, so the pipe fills and
the program itself waits: back-pressure from the client to the container, with nothing lost and no memory
eaten.

A client ends in three ways. It closes its sending half: the input ends, the output goes on. It goes away: the
container goes on without it. It types the detach keys: likewise, on purpose.
"""

from __future__ import annotations

import collections
import socket
import struct
from collections.abc import Callable
from typing import Protocol

from cutaway.container.reactor import GONE, READ, WRITE, Reactor

BUFFER_BYTES = 256 * 1024
CHUNK_BYTES = 64 * 1024
STREAM_NUMBERS = {"stdin": 0, "stdout": 1, "stderr": 2}
_HEADER = struct.Struct(">B3xL")


class Source(Protocol):
    """The process's side, as an attachment sees it."""

    def take_input(self, data: bytes) -> bool:
        """Type into the process; False when no more should come until `input_wanted` is called."""

    def input_ended(self) -> None:
        """The client will send no more."""

    def output_wanted(self) -> None:
        """The client has read; there is room again."""

    def lost(self, attachment: Attachment, *, detached: bool) -> None:
        """The client has gone, or `detached` itself by its keys."""


class Attachment:
    """A client's connection. Made before or while the process runs; `join` ties it to the process."""

    def __init__(
        self,
        reactor: Reactor,
        connection: socket.socket,
        *,
        streams: frozenset[str],
        framed: bool,
        takes_input: bool,
        detach_keys: bytes = b"",
        held: bool = False,
        early: bytes = b"",
    ) -> None:
        self.streams = streams
        self._reactor, self._socket, self._framed = reactor, connection, framed
        self._keys = DetachKeys(detach_keys)
        self._source: Source | None = None
        self._waiting: collections.deque[bytes] = collections.deque()
        self._waiting_bytes = 0
        self._held = held
        self._early = early
        self._reads = takes_input
        self._input_open = takes_input
        self._gone = self._ending = self.closed = False
        connection.setblocking(False)
        self._watch()

    @property
    def full(self) -> bool:
        """Whether more output should wait."""
        return self._waiting_bytes > BUFFER_BYTES

    def join(self, source: Source) -> None:
        """From now on this process's output comes here and the client's input goes there."""
        self._source = source
        if self._early and self._input_open:
            source.take_input(self._early)  # sent behind the request, before the connection came here
        self._watch()

    def release(self) -> None:
        """Let go what was held back while someone else wrote to the connection."""
        self._held = False
        self._flush()

    def send(self, stream: str, data: bytes) -> None:
        """Pass on what the process wrote."""
        if self._gone or stream not in self.streams:
            return
        if self._framed:
            data = _HEADER.pack(STREAM_NUMBERS[stream], len(data)) + data
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self._flush()

    def input_wanted(self) -> None:
        """The process reads again."""
        self._reads = True
        self._watch()

    def finish(self) -> None:
        """No more output will come: close when all of it is out."""
        self._ending, self._source = True, None
        self._flush()

    def _watch(self) -> None:
        if self.closed:
            return
        mask = READ if self._source and self._reads and self._input_open else 0
        if self._waiting and not self._held:
            mask |= WRITE
        if mask or not self._gone:  # a hang-up that was noted would otherwise be told again and again
            self._reactor.watch(self._socket.fileno(), mask, self._on_events)
        else:
            self._reactor.forget(self._socket.fileno())

    def _on_events(self, events: int) -> None:
        if events & GONE and not self._gone:
            self._note_gone()
        if not self.closed and events & (READ | GONE) and self._source and self._reads and self._input_open:
            self._read_input()
        if not self.closed and events & WRITE:
            self._flush()

    def _read_input(self) -> None:
        try:
            data = self._socket.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        source = self._source
        assert source is not None
        if not data:
            self._input_open = False
            source.input_ended()
            if self._gone:
                self._drop(detached=False)
            else:
                self._watch()
            return
        typed, detached = self._keys.split(data)
        if typed and not source.take_input(typed):
            self._reads = False
            self._watch()
        if detached:
            self._drop(detached=True)

    def _flush(self) -> None:
        was_full = self.full
        while self._waiting and not self._held and not self._gone:
            data = self._waiting[0]
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                break
            except OSError:
                self._note_gone()
                break
            self._waiting_bytes -= sent
            if sent < len(data):
                self._waiting[0] = data[sent:]
            else:
                self._waiting.popleft()
        if self._ending and not self._waiting:
            self._close()
            return
        self._watch()
        if was_full and not self.full and self._source:
            self._source.output_wanted()

    def _note_gone(self) -> None:
        was_full, self._gone = self.full, True
        self._waiting.clear()
        self._waiting_bytes = 0
        if not (self._source and self._input_open):
            self._drop(detached=False)
            return
        if was_full:
            self._source.output_wanted()
        self._watch()  # what the client typed before it went is still to be read

    def _drop(self, *, detached: bool) -> None:
        source, self._source = self._source, None
        self._close()
        if source:
            source.lost(self, detached=detached)

    def _close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._waiting.clear()
        self._waiting_bytes = 0
        self._reactor.forget(self._socket.fileno())
        _close_politely(self._socket)


class DetachKeys:
    """Finds the sequence that means "let me go" in what is typed, across reads. Empty: never found."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def split(self, data: bytes) -> tuple[bytes, bool]:
        """What is meant for the program, and whether the sequence is complete."""
        keys = self._keys
        if not keys or (not self._matched and keys[:1] not in data):
            return data, False
        typed = bytearray()
        for byte in data:
            if byte != keys[self._matched]:
                typed += keys[: self._matched]
                self._matched = 0
            if byte == keys[self._matched]:
                self._matched += 1
                if self._matched == len(keys):
                    return bytes(typed), True
            else:
                typed.append(byte)
        return bytes(typed), False


def _close_politely(connection: socket.socket) -> None:
    # Closing with unread input would reset the connection, and the client might lose the last output.
    steps: tuple[Callable[[], object], ...] = (
        lambda: connection.shutdown(socket.SHUT_WR),
        lambda: connection.recv(CHUNK_BYTES),
    )
    for step in steps:
        try:
            step()
        except OSError:
            pass
    connection.close()
