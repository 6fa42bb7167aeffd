"""Run the distribution's tools so that they can be stopped and never leave a half-made result.

A tool gets its own process group. When the work is cancelled the group is asked to end (SIGTERM: mmdebstrap
removes its folders then) and, if it does not within the grace period, killed.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from cutaway.errors import CutawayError, NotFoundError

GRACE = 15.0  # seconds
SYSTEM_PATH = "/usr/sbin:/sbin"  # where debootstrap is; not on everybody's PATH
_POLL = 0.2  # seconds between looks at the cancel flag
_PACKAGES = {"apt-get": "apt", "dpkg-deb": "dpkg", "apt-config": "apt"}

_ERRORS = ("E:", "Err:", "error:", "dpkg: error")

Line = Callable[[str], None]


class CancelledError(CutawayError):
    """The caller gave up; nothing was made."""

    status = 499
    exit_code = 130


def require(tool: str) -> str:
    """The tool's path. Raises NotFoundError whose hint names the package."""
    path = shutil.which(tool, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")
    if path is None:
        package = _PACKAGES.get(tool, tool)
        raise NotFoundError(f"{tool} is not installed", f"install it with: apt-get install {package}")
    return path


def run(
    argv: Sequence[str],
    *,
    cancel: threading.Event | None = None,
    line: Line = lambda text: None,
    data: Callable[[bytes], object] | None = None,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Run a tool to its end. Its messages go to `line`; its standard output to `data`, or to `line` as well.

    Raises CutawayError with the last message when it fails, CancelledError when `cancel` is set.
    """
    tool = Path(argv[0]).name
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if data else subprocess.STDOUT,
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C", **(environ or {})},
        start_new_session=True,
    )
    messages = _Messages(line)
    try:
        _pump(process, cancel, messages, data or messages.feed)
        if process.wait() != 0:
            raise CutawayError(f"{tool} failed: {messages.reason}", "the engine's log has all of it")
    finally:
        _end(process)


class _Messages:
    """Splits what a tool prints into lines and remembers what looks like the reason of a failure."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._rest = b""
        self.reason = "no message"

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        for raw in lines:
            text = raw.decode(errors="replace").strip()
            if text:
                self._line(text)
                self._remember(text)

    def _remember(self, text: str) -> None:
        """The first line that says "error" is the reason; the ones after it tell what followed from that."""
        told = self.reason.startswith(_ERRORS)
        if not told or (text.startswith("Err:") and not self.reason.startswith("Err:")):
            self.reason = text


def _pump(
    process: subprocess.Popen[bytes],
    cancel: threading.Event | None,
    messages: _Messages,
    data: Callable[[bytes], object],
) -> None:
    with selectors.DefaultSelector() as selector:
        if process.stdout is not None:
            selector.register(process.stdout, selectors.EVENT_READ, data)
        if process.stderr is not None:
            selector.register(process.stderr, selectors.EVENT_READ, messages.feed)
        while selector.get_map():
            if cancel is not None and cancel.is_set():
                raise CancelledError("interrupted", "nothing was left half made; run it again when you like")
            for key, _ in selector.select(_POLL):
                chunk = os.read(key.fd, 1 << 18)
                key.data(chunk)
                if not chunk:
                    selector.unregister(key.fileobj)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Make sure that nothing of the tool's group runs any more."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        # It may be blocked writing to a pipe that nobody reads: closing ours lets it fail and clean up.
        _close(process.stdout)
        _close(process.stderr)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            pass
    _signal(process, signal.SIGKILL)
    process.wait()
    _close(process.stdout)
    _close(process.stderr)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        stream.close()
