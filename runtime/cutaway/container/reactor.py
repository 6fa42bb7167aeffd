"""One thread, many descriptors: wait until the kernel says which is ready, then call whoever asked for it.

`epoll` (epoll(7)) is used as it is, level-triggered, because it also tells of a hang-up on a descriptor that
nobody reads at the moment: that is how the keeper learns that a client has gone. SIGCHLD is made readable,
too: the interpreter's signal handler writes a byte to a socket that is watched like any other.
"""

from __future__ import annotations

import heapq
import itertools
import select
import signal
import socket
import time
from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
GONE = select.EPOLLHUP | select.EPOLLERR

Callback = Callable[[int], None]


class Reactor:
    """The keeper's event loop. Callbacks run to their end, one after the other."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._running = False

    def watch(self, fd: int, mask: int, callback: Callback) -> None:
        """Call `callback(events)` when one of `mask` is true of `fd`, and when its peer is gone, whatever
        `mask`.
        """
        if fd in self._callbacks:
            self._epoll.modify(fd, mask)
        else:
            self._epoll.register(fd, mask)
        self._callbacks[fd] = callback

    def forget(self, fd: int) -> None:
        """Stop watching, before the descriptor is closed. One that is not watched is fine."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call once, after so many seconds."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), callback))

    def watch_signals(self, *numbers: int, callback: Callable[[], None]) -> None:
        """Call back in the loop, not in the middle of something, after any of these signals."""
        inner, outer = socket.socketpair()
        for end in (inner, outer):
            end.setblocking(False)
        for number in numbers:
            signal.signal(number, _nothing)  # without a handler the wake-up descriptor is not written to
        signal.set_wakeup_fd(outer.fileno(), warn_on_full_buffer=False)
        self._signal_ends = inner, outer

        def wake(_events: int) -> None:
            inner.recv(4096)
            callback()

        self.watch(inner.fileno(), READ, wake)

    def run(self) -> None:
        """Serve until `stop`."""
        self._running = True
        while self._running:
            for fd, events in self._epoll.poll(self._timeout()):
                callback = self._callbacks.get(fd)
                if callback is not None:  # an earlier callback of this round may have closed it
                    callback(events)
            self._run_timers()

    def stop(self) -> None:
        """Let `run` return after the present callback."""
        self._running = False

    def _timeout(self) -> float:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else -1

    def _run_timers(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()


def _nothing(_number: int, _frame: object) -> None:
    """The handler of a signal that only has to wake the loop."""
