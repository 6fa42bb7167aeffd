"""The engine is killed, stopped, started again, started twice: containers do not mind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import DEADLINE, EngineProcess, leftovers, until

pytestmark = pytest.mark.root


def test_a_killed_engine_leaves_its_containers_running(own_engine: EngineProcess) -> None:
    script = "echo before; while [ ! -e /go ]; do sleep 0.05; done; echo after; exit 6"
    container = own_engine.client().containers.run("busybox", ["sh", "-c", script], detach=True, name="lives")
    assert until(lambda: container.logs() == b"before\n")
    pid = own_engine.request("GET", "/containers/lives/json")[1]["State"]["Pid"]
    own_engine.kill()
    os.kill(pid, 0)
    own_engine.start()
    container = own_engine.client().containers.get("lives")
    assert container.status == "running"
    assert container.attrs["State"]["Pid"] == pid
    assert container.exec_run(["touch", "/go"])[0] == 0
    assert container.wait()["StatusCode"] == 6
    assert container.logs() == b"before\nafter\n"


def test_an_end_without_an_engine_is_found_by_the_next(own_engine: EngineProcess) -> None:
    script = "echo here; while [ ! -e /go ]; do sleep 0.05; done; echo gone; exit 6"
    container = own_engine.client().containers.run("busybox", ["sh", "-c", script], detach=True, name="ends")
    pid = own_engine.request("GET", "/containers/ends/json")[1]["State"]["Pid"]
    assert until(lambda: container.logs() == b"here\n")
    own_engine.kill()
    Path(f"/proc/{pid}/root/go").touch()
    assert until(lambda: not Path(f"/proc/{pid}").exists())
    own_engine.start()
    container = own_engine.client().containers.get("ends")
    assert (container.status, container.attrs["State"]["ExitCode"]) == ("exited", 6)
    assert container.logs() == b"here\ngone\n"


def test_a_restarted_engine_knows_its_running_containers(own_engine: EngineProcess) -> None:
    own_engine.client().containers.run("busybox", ["sleep", "1000"], detach=True, name="stays")
    own_engine.stop()
    own_engine.start()
    client = own_engine.client()
    assert [container.name for container in client.containers.list()] == ["stays"]
    client.containers.get("stays").remove(force=True)
    assert client.containers.list(all=True) == []


def test_a_stopped_engine_without_containers_leaves_nothing(own_engine: EngineProcess) -> None:
    own_engine.client().containers.run("busybox", ["true"], remove=True)
    own_engine.stop()
    assert until(lambda: leftovers(own_engine.instance, own_engine.root) == [], 10)
    assert not own_engine.socket.exists()


def test_a_second_engine_on_the_same_root_is_refused(own_engine: EngineProcess) -> None:
    done = own_engine.run(sys.executable, "-m", "cutaway.api.server")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == (
        f"error: another engine, process {own_engine.process.pid}, uses the root folder {own_engine.root}"
    )
    assert own_engine.answers()


def test_two_engines_on_two_roots_do_not_meet(own_engine: EngineProcess, engine: EngineProcess) -> None:
    first = own_engine.client().containers.run("busybox", ["sleep", "1000"], detach=True, name="same")
    second = engine.client().containers.run("busybox", ["sleep", "1000"], detach=True, name="same")
    assert first.id != second.id
    own_engine.kill()
    second.reload()
    assert second.status == "running"
    second.remove(force=True)


def test_followers_are_let_go_when_the_engine_stops(own_engine: EngineProcess) -> None:
    own_engine.client().containers.run("busybox", ["sleep", "1000"], detach=True, name="quiet")
    follower = own_engine.client().containers.get("quiet").logs(stream=True, follow=True)
    process = own_engine.process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE) == 0
    own_engine.stop()
    assert list(follower) == []
    follower.close()
    own_engine.start()


def test_a_socket_left_by_a_killed_engine_is_replaced(own_engine: EngineProcess) -> None:
    own_engine.kill()
    assert own_engine.socket.exists()
    own_engine.start()
    assert own_engine.answers()


def test_a_file_in_the_sockets_place_is_told(make_engine: Callable[..., EngineProcess]) -> None:
    engine = make_engine()
    engine.socket.write_text("mine")
    with pytest.raises(RuntimeError, match="is in the way: it is not a socket"):
        engine.start()
    assert engine.socket.read_text() == "mine"


def test_engine_and_keeper_stay_small(own_engine: EngineProcess) -> None:
    own_engine.client().containers.run("busybox", ["true"], remove=True)
    container = own_engine.client().containers.run("busybox", ["sleep", "1000"], detach=True)
    container.exec_run(["true"])
    assert own_engine.process is not None
    pids = {own_engine.process.pid, keeper_of(own_engine)}
    assert sum(map(private_megabytes, pids)) < 80


def test_a_killed_pytest_leaves_nothing(tmp_path: Path, shared_cache: Path) -> None:
    script = tmp_path / "test_dies.py"
    script.write_text(
        "import os, signal\n"
        "def test_dies(engine):\n"
        "    engine.client().containers.run('busybox', ['sleep', '1000'], detach=True)\n"
        f"    open({str(tmp_path / 'root')!r}, 'w').write(str(engine.root))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (tmp_path / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text())
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "PYTEST_ADDOPTS": ""}
    env.pop("PYTEST_XDIST_WORKER", None)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--basetemp={tmp_path}/base",
        script,
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=env, check=False, capture_output=True, timeout=DEADLINE * 2
    )
    assert done.returncode == -signal.SIGKILL, done.stdout.decode()
    root = Path((tmp_path / "root").read_text())
    from cutaway.settings import Settings

    instance = Settings(root, root / "engine.sock").instance
    assert until(lambda: not leftovers(instance, root) and not root.exists())


def keeper_of(engine: EngineProcess) -> int:
    """The keeper's pid: the one process that listens on its socket."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        if str(engine.settings.keeper_socket).encode() in entry.read_bytes():
            return int(entry.parent.name)
    raise AssertionError("no keeper runs")


def private_megabytes(pid: int) -> float:
    """Proportional set size: memory shared with others counts by its share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError
