"""What the integration tests share: a real engine for each worker, with real images in it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import EngineProcess

NOT_ROOT = "needs root: makes namespaces, mounts, a bridge and cgroups"


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def engines() -> Iterator[list[EngineProcess]]:
    """Every engine of this worker; those that are left at the end are ended and must leave nothing."""
    made: list[EngineProcess] = []
    yield made
    left = {engine.instance: engine.close() for engine in made}
    assert not any(left.values()), left


@pytest.fixture(scope="session")
def make_engine(engines: list[EngineProcess]) -> Callable[..., EngineProcess]:
    """Engines to be hurt: made by the test, not started, cleaned up at the end whatever happened to them."""

    def make(**options: Path) -> EngineProcess:
        if os.geteuid() != 0:
            pytest.skip(NOT_ROOT)
        engines.append(EngineProcess(**options))
        return engines[-1]

    return make


@pytest.fixture(autouse=True)
def _clients_are_closed(engines: list[EngineProcess]) -> Iterator[None]:
    """A client keeps its connections: those of 500 tests are more than a process may hold."""
    yield
    for engine in engines:
        engine.close_clients()


@pytest.fixture(scope="session")
def engine(make_engine: Callable[..., EngineProcess], shared_cache: Path) -> EngineProcess:
    """A running engine with the image `busybox`, one for each worker: `root`, `socket`, `client()`, `env`."""
    engine = make_engine().start()
    load_image(engine, "busybox", shared_cache)
    return engine


@pytest.fixture(scope="session")
def debian(engine: EngineProcess, shared_cache: Path) -> str:
    """The image `debian`, made from packages once for all workers; skips where it cannot be."""
    try:
        load_image(engine, "debian", shared_cache)
    except RuntimeError as error:
        pytest.skip(f"no debian image here: {error}")
    return "debian"


@pytest.fixture
def own_engine(make_engine: Callable[..., EngineProcess], shared_cache: Path) -> Iterator[EngineProcess]:
    """A running engine with busybox that belongs to one test, which may kill it."""
    engine = make_engine().start()
    load_image(engine, "busybox", shared_cache)
    yield engine
    if not engine.answers():
        engine.start()
    left = engine.close()
    assert left == []


@pytest.fixture
def docker_command() -> str:
    """The stock client's path; skips where it is not installed."""
    found = shutil.which("docker")
    if found is None:
        pytest.skip("no docker client is installed")
    return found


@pytest.fixture
def client(engine: EngineProcess) -> Iterator[Any]:
    """A docker-py client; the containers that the test leaves are removed."""
    yield engine.client()
    engine.remove_containers()


@pytest.fixture(params=["cutaway", "docker"])
def cli(
    request: pytest.FixtureRequest, engine: EngineProcess
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Our command, and the stock one: what holds for both is Docker's."""
    program = [sys.executable, "-m", "cutaway.cli.main"]
    if request.param == "docker":
        program = [request.getfixturevalue("docker_command")]
    return lambda *words, **options: engine.run(*program, *words, **options)


def load_image(engine: EngineProcess, name: str, cache: Path) -> None:
    """Make an image in an engine. One worker at a time, so that the others find the first one's downloads."""
    with open(cache / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, answer, _ = engine.request("POST", f"/cutaway/images/bootstrap?name={name}", timeout=600)
    lines = answer if isinstance(answer, list) else [answer]
    if status != 200 or any("error" in line for line in lines):
        raise RuntimeError(f"bootstrap of {name} failed: {answer}\n{engine.log()}")
