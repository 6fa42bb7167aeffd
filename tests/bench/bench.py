"""What this engine costs, as ratios measured in one run: `make bench`, or `python tests/bench/bench.py`.

Times on a shared machine wander, so nothing is compared with a number of yesterday. The floor (`floor.c`:
the least that a container can cost on this kernel), this engine, and docker and podman where they answer,
take turns in the same minutes; the table shows minimum and median of each, and judges by the ratio of
medians. The engine is one of its own, in a temporary folder; all that was made is removed at the end.

    --runs N      turns of each measurement (default 25)
    --alone       leave docker and podman out
    --check       end with 1 when a limit is not met
"""

from __future__ import annotations

import argparse
import dataclasses
import http.client
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
IMAGE = "busybox"
MEBI = 1 << 20
IDLE = 5
LISTED = 20
WAIT_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Times:
    """Milliseconds of every turn."""

    name: str
    samples: tuple[float, ...]

    @property
    def least(self) -> float:
        """The minimum: closest to the truth on a busy machine."""
        return min(self.samples)

    @property
    def median(self) -> float:
        """What one usually waits."""
        return statistics.median(self.samples)

    def __str__(self) -> str:
        most = max(self.samples)
        return f"{self.name:42} min {self.least:8.2f}   median {self.median:8.2f}   max {most:8.2f} ms"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One limit and what was measured. `goal` is what is hoped for beyond the limit."""

    name: str
    measured: float
    limit: float
    unit: str
    goal: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the limit is met."""
        return self.measured <= self.limit

    def __str__(self) -> str:
        word = "pass" if self.passed else "FALLS SHORT"
        if self.passed and self.goal is not None:
            word = "pass, goal met" if self.measured <= self.goal else f"pass, goal {self.goal:g} not met"
        return f"{self.name:42} {self.measured:10.2f} {self.unit:6} limit {self.limit:6g}   {word}"


def say(line: object = "") -> None:
    """Print at once: a benchmark that says nothing looks like one that hangs."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


# Taking turns


def take_turns(runs: int, works: dict[str, Callable[[], object]]) -> dict[str, Times]:
    """A B C A B C …: each work once for every turn, after one turn that does not count."""
    samples: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(runs + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if turn:
                samples[name].append((time.perf_counter() - began) * 1000)
    found = {name: Times(name, tuple(taken)) for name, taken in samples.items()}
    for times in found.values():
        say(times)
    return found


def run(*command: str, **environment: str) -> str:
    """Run a program, its output as text. Raises CalledProcessError when it fails."""
    env = os.environ | environment
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=WAIT_SECONDS)
    return done.stdout


# The engine


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket, kept open between requests."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=WAIT_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the engine."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Engine:
    """An engine of its own, asked over its API with as little client as possible."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "s"
        self._program = [sys.executable, "-m", "cutaway.cli.main", "engine"]
        self._place = ["--root", str(folder / "root"), "--socket", str(self.socket)]
        run(*self._program, "start", *self._place)
        self._line = UnixConnection(self.socket)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request on the open connection; the parsed answer. Raises RuntimeError for a refusal."""
        data = None if body is None else json.dumps(body)
        self._line.request(method, path, data, {"Content-Type": "application/json"})
        answer = self._line.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()}")
        is_json = answer.headers.get_content_type() == "application/json" and text.count(b"\n") <= 1
        return json.loads(text) if is_json and text.strip() else text

    def create(self, *command: str, remove: bool = False) -> str:
        """Create a container; its id."""
        body = {"Image": IMAGE, "Cmd": list(command), "HostConfig": {"AutoRemove": remove}}
        return str(self.ask("POST", "/containers/create", body)["Id"])

    def run_and_remove(self) -> None:
        """`run --rm busybox true`, until the container is gone."""
        container = self.create("true", remove=True)
        waiting = UnixConnection(self.socket)
        waiting.request("POST", f"/containers/{container}/wait?condition=removed")
        self.ask("POST", f"/containers/{container}/start")
        answer = json.loads(waiting.getresponse().read())
        waiting.close()
        if answer["StatusCode"]:
            raise RuntimeError(f"true ended with {answer}")

    def execute(self, container: str) -> None:
        """`exec CONTAINER true`, until its exit code is known."""
        body = {"Cmd": ["true"], "AttachStdout": True, "AttachStderr": True}
        made = self.ask("POST", f"/containers/{container}/exec", body)["Id"]
        self._line.request(
            "POST", f"/exec/{made}/start", json.dumps({"Detach": False}), {"Content-Type": "application/json"}
        )
        self._line.getresponse().read()  # until the end of its output
        self._line.close()
        if self.ask("GET", f"/exec/{made}/json")["ExitCode"]:
            raise RuntimeError("true failed")

    def remove(self, container: str) -> None:
        """`rm -f`."""
        self.ask("DELETE", f"/containers/{container}?force=1")

    def processes(self) -> dict[int, str]:
        """pid -> command line, of the engine and the keeper."""
        found = {}
        for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                environment = Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:
                continue
            if str(self.folder) in words or str(self.folder).encode() in environment:
                found[pid] = words
        return found

    def close(self) -> None:
        """Remove every container, stop the engine and wait for its processes to end."""
        for container in self.ask("GET", "/containers/json?all=1"):
            self.remove(container["Id"])
        self._line.close()
        run(*self._program, "stop", *self._place)
        end = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.02)
        for pid in left:
            os.kill(pid, signal.SIGKILL)


# The floor


@contextmanager
def floor(folder: Path) -> Iterator[Callable[[str], object] | None]:
    """A function that starts the barest container; None where there is no compiler."""
    program, lower, place = folder / "floor", folder / "lower", folder / "place"
    busybox, compiler = shutil.which("busybox"), shutil.which("gcc") or shutil.which("cc")
    if busybox is None or compiler is None:
        say("no floor: needs gcc and busybox-static (apt-get install gcc libc6-dev busybox-static)")
        yield None
        return
    run(compiler, "-O2", "-static", "-o", str(program), str(HERE / "floor.c"))
    (lower / "bin").mkdir(parents=True)
    (lower / "proc").mkdir()
    place.mkdir()
    shutil.copy(busybox, lower / "bin/true")
    yield lambda *options: run(str(program), *options, str(lower), str(place), "/bin/true")


# Peers


@contextmanager
def peers(folder: Path, *, alone: bool) -> Iterator[dict[str, list[str]]]:
    """Name -> command of the engines that answer here, with the image in each for as long as this lasts."""
    found: dict[str, list[str]] = {}
    if not alone:
        archive = _root_archive(folder)
        for name in ("docker", "podman"):
            if shutil.which(name) and archive and _answers(name):
                run(name, "import", str(archive), "cutaway-bench", DOCKER_HOST="")
                found[name] = [name]
            else:
                say(f"{name}: does not answer here, left out")
    try:
        yield found
    finally:
        for name in found:
            run(name, "rmi", "-f", "cutaway-bench", DOCKER_HOST="")


def peer(*command: str) -> Callable[[], str]:
    """A function that runs a peer's command on the peer's own socket."""
    return lambda: run(*command, DOCKER_HOST="")


def _answers(name: str) -> bool:
    try:
        run(name, "info", DOCKER_HOST="")
    except (subprocess.SubprocessError, OSError):
        return False
    return True


def _root_archive(folder: Path) -> Path | None:
    lower, archive = folder / "lower", folder / "busybox.tar"
    if not lower.exists():
        return None
    run("tar", "-C", str(lower), "-cf", str(archive), ".")
    return archive


# What is measured


def measure_run(
    runs: int, engine: Engine, bare: Callable[..., object] | None, others: dict[str, list[str]]
) -> list[Verdict]:
    """`run --rm busybox true` beside the floor and the peers."""
    say("\nrun --rm busybox true")
    works: dict[str, Callable[[], object]] = {"this engine, through the API": engine.run_and_remove}
    if bare:
        works["floor: clone, overlay, pivot, exec"] = bare
        works["floor with a network namespace"] = lambda: bare("-n")
    if shutil.which("docker"):
        address = f"unix://{engine.socket}"
        client = ["docker", "run", "--rm", IMAGE, "true"]
        works["this engine, by the docker client"] = lambda: run(*client, DOCKER_HOST=address)
    for name in others:
        works[f"{name}, by its own command"] = peer(name, "run", "--rm", "cutaway-bench", "true")
    times = take_turns(runs, works)
    if not bare:
        return []
    ours, least = times["this engine, through the API"], times["floor: clone, overlay, pivot, exec"]
    say(
        f"ratio to the floor: medians {ours.median / least.median:.1f}, minima {ours.least / least.least:.1f}"
    )
    return [Verdict("run --rm busybox true, times the floor", ours.median / least.median, 4, "×", goal=2)]


def measure_exec(runs: int, engine: Engine, others: dict[str, list[str]]) -> list[Verdict]:
    """`exec true` in a running container."""
    say("\nexec true")
    container = engine.create("sleep", "1000")
    engine.ask("POST", f"/containers/{container}/start")
    works: dict[str, Callable[[], object]] = {
        "this engine, through the API": lambda: engine.execute(container)
    }
    theirs = {}
    for name in others:
        theirs[name] = run(name, "run", "-d", "cutaway-bench", "sleep", "1000", DOCKER_HOST="").strip()
        works[f"{name}, by its own command"] = peer(name, "exec", theirs[name], "true")
    times = take_turns(runs, works)
    engine.remove(container)
    for name, other in theirs.items():
        run(name, "rm", "-f", other, DOCKER_HOST="")
    return [Verdict("exec true", times["this engine, through the API"].median, 15, "ms")]


def measure_idle(engine: Engine) -> list[Verdict]:
    """What the engine holds with idle containers, and what each of these adds."""
    say("\nidle")
    before = _descendants(engine)
    containers = [engine.create("sleep", "1000") for _ in range(IDLE)]
    for container in containers:
        engine.ask("POST", f"/containers/{container}/start")
    extra = (len(_descendants(engine)) - len(before)) / IDLE - 1
    inits = {int(engine.ask("GET", f"/containers/{one}/json")["State"]["Pid"]) for one in containers}
    rss = pss = 0.0
    for pid, words in engine.processes().items():
        if pid in inits:
            continue
        memory = _memory(pid)
        rss, pss = rss + memory["Rss"], pss + memory["Pss"]
        say(f"{words[:70]:70} RSS {memory['Rss'] / MEBI:6.1f}  PSS {memory['Pss'] / MEBI:6.1f} MiB")
    for container in containers:
        engine.remove(container)
    say(f"engine and keeper together: PSS {pss / MEBI:.1f} MiB")
    return [
        Verdict("engine and keeper, RSS", rss / 1e6, 80, "MB"),
        Verdict("extra processes per idle container", extra, 0, ""),
    ]


def _descendants(engine: Engine) -> set[int]:
    """Every process of the engine, the keeper and their children."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    mine = set(engine.processes())
    while more := {pid for pid, parent in parents.items() if parent in mine} - mine:
        mine |= more
    return mine


def _memory(pid: int) -> dict[str, int]:
    """Bytes by name, of smaps_rollup: proc_pid_smaps_rollup(5)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {name: int(value) * 1024 for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}


def measure_list(runs: int, engine: Engine) -> list[Verdict]:
    """`ps -a` of twenty containers."""
    say(f"\nps -a of {LISTED}")
    containers = [engine.create("true") for _ in range(LISTED)]
    take_turns(runs, {"this engine, through the API": lambda: engine.ask("GET", "/containers/json?all=1")})
    for container in containers:
        engine.remove(container)
    return []


def measure_import(runs: int) -> list[Verdict]:
    """`import cutaway`, as the interpreter itself times it."""
    say("\nimport cutaway")
    samples = []
    for _ in range(runs):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", "import cutaway"],
            check=True,
            capture_output=True,
            text=True,
        )
        line = next(line for line in done.stderr.splitlines() if line.split("|")[-1].strip() == "cutaway")
        samples.append(int(line.split("|")[1]) / 1000)
    times = Times("import cutaway", tuple(samples))
    say(times)
    return [Verdict("import cutaway", times.median, 50, "ms")]


def main() -> int:
    """Measure everything, print the table, and say by the exit code whether all is met when asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if os.geteuid() != 0:
        say("needs root: containers with a network, and the floor, are made as root")
        return 0
    with tempfile.TemporaryDirectory(prefix="cutaway-bench-") as folder, floor(Path(folder)) as bare:
        engine = Engine(Path(folder))
        try:
            engine.ask("POST", f"/cutaway/images/bootstrap?name={IMAGE}")
            with peers(Path(folder), alone=options.alone) as others:
                verdicts = [
                    *measure_run(options.runs, engine, bare, others),
                    *measure_exec(options.runs, engine, others),
                ]
            verdicts += [
                *measure_idle(engine),
                *measure_list(options.runs, engine),
                *measure_import(min(options.runs, 9)),
            ]
        finally:
            engine.close()
    say("\nlimits")
    for verdict in verdicts:
        say(verdict)
    return int(options.check and not all(verdict.passed for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
