"""Starting, finding and stopping our own engine, from outside.

The engine starts at the first command that needs it, as tmux and gpg-agent do: a process of its own session,
which outlives the terminal and the notebook. Commands that come at the same moment agree through a lock, so
that one engine starts and all of them use it. What a failing engine says on its standard error goes to a
file in memory, and from there into the command's own error.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cutaway.cli.failures import CommandError
from cutaway.errors import EngineUnavailableError
from cutaway.settings import Settings

START_SECONDS = 60.0
STOP_SECONDS = 30.0


def ensure_engine(settings: Settings) -> None:
    """Return when an engine listens; start one if none does. Raises EngineUnavailableError."""
    if listens(settings.socket):
        return
    with _starting(settings.root):
        if not listens(settings.socket):
            start(settings)


def start(settings: Settings) -> int:
    """Start the engine, wait until it answers; its pid. Raises EngineUnavailableError with its words."""
    words = os.memfd_create("cutaway-engine-stderr", os.MFD_CLOEXEC)
    command = [sys.executable, "-m", "cutaway.cli.main", "engine", "start", "--foreground"]
    command += ["--root", str(settings.root), "--socket", str(settings.socket)]
    environment = {name: value for name, value in os.environ.items() if name != "_CUTAWAY_COMPLETE"}
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=words, cwd="/",
            start_new_session=True, env=environment,
        )  # fmt: skip
        end = time.monotonic() + START_SECONDS
        while not answers(settings.socket):
            if process.poll() is not None:
                raise _did_not_start(words, settings)
            if time.monotonic() > end:
                process.kill()
                process.wait()
                raise EngineUnavailableError(
                    f"the engine did not answer within {START_SECONDS:.0f} s", _last_line(settings.log)
                )
            time.sleep(0.01)
        process.returncode = 0  # it is to live on: nobody is to wait for it
        return process.pid
    finally:
        os.close(words)


def stop(settings: Settings) -> bool:
    """End the engine, wait until it is gone; False when none ran. Containers go on. Raises CommandError."""
    number = running_pid(settings)
    if number is None:
        return False
    try:
        process = os.pidfd_open(number)
    except ProcessLookupError:
        return False
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        ended, _, _ = select.select([process], [], [], STOP_SECONDS)
    except PermissionError as error:
        raise CommandError(f"process {number} may not be stopped", "it belongs to another user") from error
    finally:
        os.close(process)
    if not ended:
        raise CommandError(f"the engine, process {number}, did not stop", _last_line(settings.log))
    with contextlib.suppress(ChildProcessError):  # it is our child when this process has started it
        os.waitpid(number, os.WNOHANG)
    return True


def running_pid(settings: Settings) -> int | None:
    """The engine's pid: who holds the lock of the root folder. None when nobody does."""
    try:
        with open(settings.lock) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read())
    except (OSError, ValueError):
        pass
    return None


def listens(path: Path) -> bool:
    """Whether somebody accepts connections on a socket. Costs a tenth of a millisecond."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def answers(path: Path) -> bool:
    """Whether an engine answers `GET /_ping` on a socket."""
    connection = UnixConnection(path, timeout=2)
    try:
        connection.request("GET", "/_ping")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def ask(path: Path, question: str) -> Any:
    """The JSON of a GET. Raises CommandError when the engine does not answer with it."""
    connection = UnixConnection(path, timeout=10)
    try:
        connection.request("GET", question)
        return json.load(connection.getresponse())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CommandError(f"the engine on {path} does not answer") from error
    finally:
        connection.close()


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket, for questions that are not worth importing docker-py."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@contextlib.contextmanager
def _starting(root: Path) -> Iterator[None]:
    """Hold the right to start this root's engine. Where it cannot be written, the engine will say so."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = open(root / "start.lock", "w")  # noqa: SIM115 - closed below, and only if it could be opened
    except OSError:
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _did_not_start(words: int, settings: Settings) -> EngineUnavailableError:
    said = os.pread(words, 65536, 0).decode(errors="replace").strip().splitlines()
    message = next((line.removeprefix("error: ") for line in said if line.startswith("error: ")), "")
    hint = next((line.removeprefix("hint: ") for line in said if line.startswith("hint: ")), "")
    message = message or (said[-1] if said else "it ended without a word")
    return EngineUnavailableError(f"the engine did not start: {message}", hint or _last_line(settings.log))


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f"{log} ends with: {lines[-1]}" if lines else ""
