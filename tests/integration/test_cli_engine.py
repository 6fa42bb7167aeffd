"""The engine's life as commands: starting at first use, once; stopping; what cannot start says why."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import DEADLINE, EngineProcess, until

pytestmark = pytest.mark.root
CUTAWAY = (sys.executable, "-m", "cutaway.cli.main")
Make = Callable[..., EngineProcess]


def environment(engine: EngineProcess) -> dict[str, str]:
    return {name: value for name, value in engine.env.items() if name != "DOCKER_HOST"}


def cutaway(engine: EngineProcess, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return engine.run(*CUTAWAY, *words, env=environment(engine) | extra)


def test_commands_that_come_together_start_one_engine(make_engine: Make) -> None:
    engine = make_engine()
    begun = [
        subprocess.Popen([*CUTAWAY, "ps", "-q"], env=environment(engine), stdout=-1, stderr=-1)
        for _ in range(6)
    ]
    ended = [(process.communicate(timeout=DEADLINE), process.returncode) for process in begun]
    assert ended == [((b"", b""), 0)] * 6
    assert engine.log().count("ready on") == 1
    assert cutaway(engine, "engine", "stop").stdout == "the engine has stopped\n"


def test_status_starts_nothing_and_stop_waits(make_engine: Make) -> None:
    engine = make_engine()
    status = cutaway(engine, "engine", "status")
    assert (status.returncode, status.stdout.split("\n")[0]) == (3, "engine      not running")
    assert cutaway(engine, "engine", "stop").stdout == "the engine does not run\n"
    started = cutaway(engine, "engine", "start")
    pid = int(re.search(r"process (\d+), socket", started.stdout)[1])  # type: ignore[index]
    status = cutaway(engine, "engine", "status")
    assert status.returncode == 0
    assert status.stdout.splitlines() == [
        f"engine      running, process {pid}", f"socket      {engine.socket}", f"root        {engine.root}",
        "containers  0, 0 running",
    ]  # fmt: skip
    assert cutaway(engine, "engine", "start").stdout == f"the engine runs already: process {pid}\n"
    again = cutaway(engine, "engine", "restart")
    assert again.returncode == 0
    assert f"process {pid}," not in again.stdout
    assert cutaway(engine, "engine", "stop").returncode == 0
    assert not engine.socket.exists()
    assert not engine.answers()


def test_a_container_outlives_a_restart(own_engine: EngineProcess) -> None:
    cutaway(own_engine, "run", "-d", "--name", "keep", "busybox", "sleep", "600")
    before = cutaway(own_engine, "inspect", "-f", "{{.State.Pid}} {{.State.StartedAt}}", "keep").stdout
    assert cutaway(own_engine, "engine", "restart").returncode == 0
    own_engine.stop()  # the one that the fixture started has ended: only its remains are cleared
    assert (
        cutaway(own_engine, "inspect", "-f", "{{.State.Pid}} {{.State.StartedAt}}", "keep").stdout == before
    )
    assert cutaway(own_engine, "rm", "-f", "keep").returncode == 0
    assert cutaway(own_engine, "engine", "stop").returncode == 0


def test_something_in_the_sockets_place_is_named(make_engine: Make) -> None:
    engine = make_engine()
    engine.socket.write_text("not a socket")
    done = cutaway(engine, "ps")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: the engine did not start: {engine.socket} is in the way: it is not a socket",
        "hint: move it away, or choose another place with --socket",
    ]
    assert cutaway(engine, "run", "busybox").returncode == 125


def test_a_root_that_is_a_file_is_named(make_engine: Make, tmp_path: Path) -> None:
    engine = make_engine()
    (tmp_path / "file").write_text("")
    done = cutaway(
        engine, "ps", CUTAWAY_ROOT=str(tmp_path / "file/root"), CUTAWAY_HOST=f"unix://{tmp_path}/s"
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: the engine did not start: cannot write to the root folder")
    assert len(done.stderr.splitlines()) == 2


def test_an_address_that_is_no_socket_is_refused(make_engine: Make) -> None:
    done = cutaway(make_engine(), "ps", CUTAWAY_HOST="tcp://127.0.0.1:1")
    assert done.returncode == 1
    assert "is not an address of the form unix:///path" in done.stderr


def test_another_engine_is_never_started(make_engine: Make, tmp_path: Path) -> None:
    engine = make_engine()
    done = cutaway(engine, "ps", DOCKER_HOST=f"unix://{tmp_path}/nobody")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: no engine answers at unix://{tmp_path}/nobody",
        "hint: DOCKER_HOST names it; `unset DOCKER_HOST` for your own",
    ]
    assert not engine.answers()


def test_a_command_without_engine_does_not_need_one(make_engine: Make) -> None:
    engine = make_engine()
    assert cutaway(engine, "--help").returncode == 0
    assert "work" in cutaway(engine, "doctor").stdout
    assert not engine.answers()


def test_a_shell_completes_commands_and_names(engine: EngineProcess) -> None:
    words = {"_CUTAWAY_COMPLETE": "bash_complete", "COMP_WORDS": "cutaway\nrun\nbus", "COMP_CWORD": "2"}
    # an engine that is busy for longer than a person would wait for Tab gives no names that time
    assert until(lambda: cutaway(engine, **words).stdout == "busybox\n")
    script = cutaway(engine, _CUTAWAY_COMPLETE="bash_source").stdout
    check = f"{script}\nCOMP_WORDS=(cutaway ru)\nCOMP_CWORD=1\n_cutaway_complete\necho ${{COMPREPLY[0]}}"
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = engine.run("bash", "-c", check, env=environment(engine) | {"PATH": path})
    assert done.stdout == "run\n", done


def test_the_engine_in_the_foreground_ends_at_ctrl_c(make_engine: Make) -> None:
    engine = make_engine()
    process = subprocess.Popen([*CUTAWAY, "engine", "start", "--foreground"], env=environment(engine))
    assert until(engine.answers)
    process.send_signal(2)
    assert process.wait(DEADLINE) == 0
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(FileNotFoundError):
        probe.connect(str(engine.socket))
