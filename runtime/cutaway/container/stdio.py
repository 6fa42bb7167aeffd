"""The keeper's ends of a process's standard input, output and error.

Without a terminal these are three pipes. With one it is the master of a pseudo terminal, which the child
opens in its own /dev/pts and sends back (see `steps.OpenTerminal`). What the process writes is read here once
and given to the log and to every attached client; what clients type goes into the pipe or the master.

Reading stops while a client's buffer is full and starts again when it has room. At the process's end what is
still in the pipe is taken whatever the buffers say: a pipe holds a bounded amount, and the program can add no
more.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import functools
import os
import struct
import termios
from collections.abc import Callable

from cutaway.container.attachment import CHUNK_BYTES, Attachment
from cutaway.container.logfile import LogFile
from cutaway.container.reactor import READ, WRITE, Reactor

INPUT_BYTES = 64 * 1024
DRAIN_BYTES = 4 << 20


class Input:
    """The writing end of a process's standard input, with what it has not taken yet."""

    def __init__(self, reactor: Reactor, fd: int, emptied: Callable[[], None]) -> None:
        os.set_blocking(fd, False)
        self._reactor, self._fd, self._emptied = reactor, fd, emptied
        self._waiting: collections.deque[bytes] = collections.deque()
        self._bytes = 0
        self._ending = self.closed = False

    def write(self, data: bytes) -> bool:
        """Pass on what was typed. False when so much is waiting that the client should pause."""
        if not self.closed:
            self._waiting.append(data)
            self._bytes += len(data)
            self._flush()
        return self._bytes < INPUT_BYTES

    def end(self) -> None:
        """Close as soon as all that waits is written: the program sees the end of its input."""
        self._ending = True
        self._flush()

    def close(self) -> None:
        """Close now."""
        if not self.closed:
            self.closed = True
            self._waiting.clear()
            self._bytes = 0
            self._reactor.forget(self._fd)
            os.close(self._fd)

    def _flush(self, _events: int = 0) -> None:
        was_waiting = bool(self._waiting)
        while self._waiting and not self.closed:
            try:
                written = os.write(self._fd, self._waiting[0])
            except BlockingIOError:
                self._reactor.watch(self._fd, WRITE, self._flush)
                return
            except OSError:  # nobody will read it any more
                self.close()
                break
            self._bytes -= written
            if written < len(self._waiting[0]):
                self._waiting[0] = self._waiting[0][written:]
            else:
                self._waiting.popleft()
        self._reactor.forget(self._fd)
        if self._ending:
            self.close()
        if was_waiting:
            self._emptied()


class Stdio:
    """All of a process's input and output, its log and its clients. Implements `attachment.Source`."""

    def __init__(
        self,
        reactor: Reactor,
        log: LogFile | None,
        *,
        close_input_with_client: bool,
        detached: Callable[[], None],
    ) -> None:
        self._reactor, self._log, self._detached = reactor, log, detached
        self._close_input_with_client = close_input_with_client
        self._outputs: dict[int, str] = {}
        self._attachments: list[Attachment] = []
        self._input: Input | None = None
        self._terminal = -1
        self._paused = False

    def use_pipes(self, stdin: int | None, stdout: int, stderr: int) -> None:
        """Take over the keeper's ends of the pipes and begin to read."""
        if stdin is not None:
            self._input = Input(self._reactor, stdin, self._input_wanted)
        self._outputs = {stdout: "stdout", stderr: "stderr"}
        self._begin()

    def use_terminal(self, master: int) -> None:
        """Take over the master of the process's terminal and begin to read."""
        self._terminal = master
        self._input = Input(self._reactor, os.dup(master), self._input_wanted)
        self._outputs = {master: "stdout"}
        self._begin()

    def attach(self, attachment: Attachment) -> None:
        """Tie a client to this process."""
        self._attachments.append(attachment)
        attachment.join(self)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size; the program gets SIGWINCH. Without a terminal nothing happens."""
        if self._terminal >= 0:
            size = struct.pack("4H", rows, columns, 0, 0)
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def written(self) -> list[int] | None:
        """How far the log is now: see `LogFile.position`."""
        return self._log.position() if self._log else None

    def finish(self) -> None:
        """The process has ended: take what it left in its pipes, and close them and the log."""
        for fd in tuple(self._outputs):
            self._drain(fd)
            self._close_output(fd)
        if self._input:
            self._input.close()
        if self._log:
            self._log.close()

    def let_go(self) -> None:
        """Send the clients their end.

        Only now, because a client then asks the engine for the exit code at once.
        """
        attachments, self._attachments = self._attachments, []
        for attachment in attachments:
            attachment.finish()

    # What attachments call

    def take_input(self, data: bytes) -> bool:
        """See `attachment.Source`."""
        return self._input.write(data) if self._input else True

    def input_ended(self) -> None:
        """See `attachment.Source`. Docker: stdin is closed with the first client when `StdinOnce` is set."""
        if self._input and self._close_input_with_client and self._terminal < 0:
            self._input.end()

    def output_wanted(self) -> None:
        """See `attachment.Source`."""
        if self._paused and not any(attachment.full for attachment in self._attachments):
            self._paused = False
            self._watch()

    def lost(self, attachment: Attachment, *, detached: bool) -> None:
        """See `attachment.Source`."""
        with contextlib.suppress(ValueError):
            self._attachments.remove(attachment)
        self.output_wanted()
        if detached:
            self._detached()

    # --

    def _begin(self) -> None:
        for fd in self._outputs:
            os.set_blocking(fd, False)
        self._watch()

    def _watch(self) -> None:
        for fd in self._outputs:
            self._reactor.watch(fd, READ, functools.partial(self._on_output, fd))

    def _on_output(self, fd: int, _events: int) -> None:
        self._read(fd)

    def _read(self, fd: int) -> int:
        """Read once and pass it on. Returns the number of bytes; closes at the end."""
        try:
            data = os.read(fd, CHUNK_BYTES)
        except BlockingIOError:
            return 0
        except OSError:  # EIO: the terminal has no other side any more
            data = b""
        if not data:
            self._close_output(fd)
            return 0
        stream = self._outputs[fd]
        if self._log:
            self._log.write(stream, data)
        for attachment in tuple(self._attachments):
            attachment.send(stream, data)
        if not self._paused and any(attachment.full for attachment in self._attachments):
            self._paused = True
            for output in self._outputs:
                self._reactor.forget(output)
        return len(data)

    def _drain(self, fd: int) -> None:
        # An exec may leave processes behind that go on writing: what a pipe can hold is enough.
        left = DRAIN_BYTES
        while left > 0 and fd in self._outputs:
            count = self._read(fd)
            if not count:
                return
            left -= count

    def _close_output(self, fd: int) -> None:
        if self._outputs.pop(fd, None) is not None:
            self._reactor.forget(fd)
            if fd == self._terminal:
                self._terminal = -1
            os.close(fd)

    def _input_wanted(self) -> None:
        for attachment in self._attachments:
            attachment.input_wanted()
