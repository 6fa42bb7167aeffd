"""A real engine in a folder of its own, and the means to leave nothing of it behind.

`EngineProcess` starts, stops and kills the engine as its users would. `leftovers` looks at the kernel from
outside (processes, mounts, interfaces, nftables, cgroups) and names what still belongs to an engine.
`clean_up` removes it without asking the engine. A janitor process holds a pipe to pytest: when that ends,
even by SIGKILL, the janitor cleans up every engine that was announced to it and not taken back.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cutaway.network import bridge
from cutaway.settings import Settings

DEADLINE = 60.0


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket: the barest client there is."""

    def __init__(self, path: str | Path, timeout: float = DEADLINE) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class EngineProcess:
    """An engine of its own: `root`, `socket`, `instance`, `env` for commands, `client()` for docker-py."""

    def __init__(self, root: Path | None = None, socket: Path | None = None) -> None:
        # not pytest's tmp_path: its long names do not leave room for a socket's path
        self.root = root or Path(tempfile.mkdtemp(prefix="cutaway-test-"))
        self.settings = Settings(self.root, socket or self.root / "engine.sock")
        self.socket = self.settings.socket
        self.instance = self.settings.instance
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[Any] = []
        janitor().add(self.root)

    @property
    def env(self) -> dict[str, str]:
        """The environment in which our commands and the stock client talk to this engine."""
        mine = {
            "CUTAWAY_ROOT": str(self.root),
            "CUTAWAY_HOST": self.settings.address,
            "DOCKER_HOST": self.settings.address,
            "DOCKER_CONFIG": str(self.root / "client"),
        }
        return os.environ | mine

    def start(self) -> EngineProcess:
        """Start the engine and wait until it answers. Raises RuntimeError with its words when it does not."""
        command = [sys.executable, "-m", "cutaway.api.server"]
        self.process = subprocess.Popen(
            command, env=self.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        process = self.process
        if not until(lambda: self.answers() or process.poll() is not None) or process.poll() is not None:
            process.kill()
            raise RuntimeError(f"the engine did not start: {process.communicate()[1].decode()}\n{self.log()}")
        return self

    def answers(self) -> bool:
        """Whether `GET /_ping` is answered."""
        try:
            return self.request("GET", "/_ping")[0] == 200
        except OSError:
            return False

    def request(self, method: str, path: str, body: Any = None, *, timeout: float = DEADLINE) -> Any:
        """One HTTP request; `(status, parsed JSON or text, headers)`."""
        connection = UnixConnection(self.socket, timeout)
        with contextlib.closing(connection):
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, body=data, headers={"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        is_json = answer.headers.get("Content-Type") == "application/json"
        try:
            return answer.status, json.loads(text) if is_json else text.decode(), answer.headers
        except json.JSONDecodeError:  # a stream of objects
            return answer.status, [json.loads(line) for line in text.splitlines() if line], answer.headers

    def client(self, **options: Any) -> Any:
        """A docker-py client; closed with the engine."""
        import docker

        client = docker.DockerClient(base_url=self.settings.address, timeout=DEADLINE, **options)
        self._clients.append(client)
        return client

    def run(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in this engine's environment: `engine.run("docker", "ps")`."""
        options = {"capture_output": True, "text": True, "timeout": DEADLINE, "env": self.env} | options
        return subprocess.run(command, check=False, **options)

    def log(self) -> str:
        """The engine's and the keeper's log."""
        logs = (self.settings.log, self.settings.keeper_log)
        return "\n".join(path.read_text() for path in logs if path.exists())

    def close_clients(self) -> None:
        """Close every client that `client` made."""
        while self._clients:
            self._clients.pop().close()

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self.close_clients()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
        self._gone()

    def kill(self) -> None:
        """SIGKILL: no farewell."""
        self.close_clients()
        if self.process is not None:
            self.process.kill()
        self._gone()

    def _gone(self) -> None:
        if self.process is not None:
            self.process.wait(DEADLINE)
            if self.process.stderr is not None:
                self.process.stderr.close()
            self.process = None

    def remove_containers(self) -> None:
        """Force-remove every container, running or not."""
        _, containers, _ = self.request("GET", "/containers/json?all=1")
        for container in containers:
            self.request("DELETE", f"/containers/{container['Id']}?force=1&v=1")

    def close(self) -> list[str]:
        """End everything and remove the root. Says what should not have been left: see `leftovers`."""
        if self.answers():
            self.remove_containers()
        self.stop()
        until(lambda: not leftovers(self.instance, self.root), 5)
        left = leftovers(self.instance, self.root)
        clean_up(self.instance, self.root)
        janitor().remove(self.root)
        return left


def until(condition: Callable[[], Any], seconds: float = DEADLINE) -> bool:
    """Wait for something that the kernel or another process does and nobody announces."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def leftovers(instance: str, root: Path) -> list[str]:
    """What still belongs to an engine that has ended: one line for each thing, empty when it is clean."""
    return [
        *(f"process {pid}: {command}" for pid, command in _processes(instance, root)),
        *(f"mount {point}" for point in _mounts(root)),
        *(f"interface {name}" for name in _interfaces(instance)),
        *(f"nftables table {table}" for table in _tables(instance)),
        *(f"cgroup {path}" for path in _cgroups(instance)),
        *(f"network namespace {path}" for path in Path("/run/netns").glob(f"{instance}*")),
    ]


def clean_up(instance: str, root: Path) -> None:
    """Remove everything that `leftovers` would name, and the root folder."""
    end = time.monotonic() + 10
    while (processes := _processes(instance, root)) and time.monotonic() < end:
        for pid, _ in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    for point in reversed(_mounts(root)):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)
    if _interfaces(instance):
        bridge.remove(instance)  # as the engine would have done: the last one puts ip_forward back
    for table in _tables(instance):
        subprocess.run(["nft", "delete", "table", *table.split()], check=False, capture_output=True)
    for path in sorted(_cgroups(instance), key=len, reverse=True):
        with contextlib.suppress(OSError):
            Path(path).rmdir()
    shutil.rmtree(root, ignore_errors=True)


def _processes(instance: str, root: Path) -> list[tuple[int, str]]:
    found = []
    marks = (os.fsencode(root), f"/{instance}/".encode())
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            cgroup = (entry / "cgroup").read_bytes()
            environ = (entry / "environ").read_bytes()
        except OSError:
            continue
        # our own helpers (git, pytest's workers) have the root in neither
        if marks[0] in command or marks[1] in cgroup or b"CUTAWAY_ROOT=" + marks[0] + b"\0" in environ:
            found.append((int(entry.name), command.replace(b"\0", b" ").decode(errors="replace").strip()))
    return found


def _mounts(root: Path) -> list[str]:
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [point for point in points if point == str(root) or point.startswith(f"{root}/")]


def _interfaces(instance: str) -> list[str]:
    ports = Path("/sys/class/net") / instance / "brif"
    try:
        return [*(entry.name for entry in ports.iterdir()), instance]
    except FileNotFoundError:
        return []


def _tables(instance: str) -> list[str]:
    if shutil.which("nft") is None:
        return []
    listed = subprocess.run(["nft", "list", "tables"], check=False, capture_output=True, text=True).stdout
    return [match[1] for match in re.finditer(rf"table (\w+ {re.escape(instance)})\b", listed)]


def _cgroups(instance: str) -> list[str]:
    found = []
    for hierarchy in ("/sys/fs/cgroup", *(str(path) for path in Path("/sys/fs/cgroup").glob("*"))):
        for folder, _, _ in os.walk(Path(hierarchy) / instance):
            found.append(folder)
    return found


class Janitor:
    """Cleans up after pytest when pytest cannot."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, start_new_session=True, cwd="/"
        )
        self._pid = os.getpid()

    def add(self, root: Path) -> None:
        """From now on this engine's remains are the janitor's."""
        self._tell(f"add {root}")

    def remove(self, root: Path) -> None:
        """This one has been cleaned up."""
        self._tell(f"done {root}")

    def _tell(self, line: str) -> None:
        if self._process.stdin is not None and self._pid == os.getpid():
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()

    def close(self) -> None:
        """Let it finish its work and end."""
        if self._pid != os.getpid():
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(DEADLINE)


@functools.cache
def janitor() -> Janitor:
    """The one janitor of this process. Only its end dismisses it: several suites of a worker rely on it."""
    janitor = Janitor()
    atexit.register(janitor.close)
    return janitor


def be_the_janitor() -> None:
    """What the janitor process does: note the roots, wait for the pipe's end, clean up."""
    roots: dict[str, None] = {}
    for line in _lines_until_the_end():
        word, _, root = line.partition(" ")
        roots.pop(root, None)
        if word == "add":
            roots[root] = None
    for root in roots:
        clean_up(Settings(Path(root), Path(root) / "engine.sock").instance, Path(root))


def _lines_until_the_end() -> Iterator[str]:
    for line in sys.stdin:
        yield line.strip()


if __name__ == "__main__":
    be_the_janitor()
