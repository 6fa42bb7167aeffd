"""The stock `docker` client, unchanged, with `DOCKER_HOST` on our socket."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import DEADLINE, EngineProcess, until

pytestmark = pytest.mark.root

Docker = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def docker(engine: EngineProcess, docker_command: str) -> Iterator[Docker]:
    """Run the stock client; what a test leaves behind is removed after it."""

    def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
        env = engine.env | {"DOCKER_BUILDKIT": "0"}
        return engine.run(docker_command, *words, **{"env": env, **options})

    yield run
    engine.remove_containers()


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_version_names_client_and_server(docker: Docker) -> None:
    text = ok(docker("version"))
    assert re.search(r"Server: Cutaway\n Engine:\n +Version: +\d", text)


def test_info_is_understood(docker: Docker) -> None:
    text = ok(docker("info"))
    assert "Storage Driver: overlay2" in text
    assert "Docker Root Dir: /tmp/cutaway-test-" in text


def test_run_prints_and_removes(docker: Docker) -> None:
    assert ok(docker("run", "--rm", "busybox", "echo", "hi")) == "hi\n"
    assert ok(docker("ps", "-aq")) == ""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("busybox", "sh", "-c", "exit 7"), 7),
        (("busybox", "no-such-program"), 127),
        (("busybox", "/etc"), 126),
        (("--memory", "1m", "busybox", "true"), 125),
        (("nobody/has-this", "true"), 125),
    ],
)
def test_exit_codes_are_dockers(docker: Docker, words: tuple[str, ...], code: int) -> None:
    done = docker("run", "--rm", *words)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert ok(docker("ps", "-aq")) == ""


def test_input_is_passed_on_to_its_end(docker: Docker) -> None:
    assert ok(docker("run", "--rm", "-i", "busybox", "wc", "-c", input="x" * 200_000)) == "200000\n"


def test_a_daily_round(docker: Docker) -> None:
    container = ok(
        docker("run", "-d", "--name", "daily", "busybox", "sh", "-c", "echo up; sleep 1000")
    ).strip()
    assert re.fullmatch(r"[0-9a-f]{64}", container)
    listed = ok(docker("ps"))
    assert re.search(rf'{container[:12]} +busybox +"sh -c .*" +.* ago +Up .* +daily', listed)
    assert ok(docker("logs", "daily")) == "up\n"
    assert ok(docker("exec", "daily", "echo", "inside")) == "inside\n"
    assert docker("exec", "daily", "sh", "-c", "exit 4").returncode == 4
    assert ok(docker("inspect", "-f", "{{.State.Running}} {{.Config.Image}}", "daily")) == "true busybox\n"
    assert "sleep 1000" in ok(docker("top", "daily"))
    assert ok(docker("stop", "-t", "0", "daily")) == "daily\n"
    assert ok(docker("wait", "daily")) == "137\n"
    assert "Exited (137)" in ok(docker("ps", "-a"))
    assert ok(docker("start", "daily")) == "daily\n"
    assert ok(docker("rm", "-f", "daily")) == "daily\n"
    assert "No such container: daily" in docker("inspect", "--type", "container", "daily").stderr


def test_logs_are_followed_until_the_end(docker: Docker) -> None:
    ok(
        docker(
            "run",
            "-d",
            "--name",
            "ending",
            "busybox",
            "sh",
            "-c",
            "for n in 1 2 3; do echo $n; sleep 0.1; done",
        )
    )
    assert ok(docker("logs", "-f", "ending")) == "1\n2\n3\n"


def test_images_can_be_listed_named_and_removed(docker: Docker) -> None:
    assert re.search(r"^busybox +latest +[0-9a-f]{12} ", ok(docker("images")), re.MULTILINE)
    ok(docker("tag", "busybox", "second:name"))
    assert ok(docker("rmi", "second:name")) == "Untagged: second:name\n"
    assert "IMAGE" in ok(docker("history", "busybox"))


DOCKERFILE = """\
FROM busybox
ENV WORD=built
WORKDIR /data
COPY note.txt .
RUN cat note.txt > copy.txt
CMD ["cat", "copy.txt"]
"""


def test_an_image_is_built_and_run(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "note.txt").write_text("from the context\n")
    text = ok(docker("build", "-t", "made:here", str(tmp_path)))
    assert "Step 1/6 : FROM busybox" in text
    assert "Successfully tagged made:here" in text
    assert ok(docker("run", "--rm", "made:here")) == "from the context\n"
    assert "Using cache" in ok(docker("build", "-t", "made:here", str(tmp_path)))
    ok(docker("rmi", "made:here"))


def test_a_failing_step_is_named_with_its_code(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN exit 3\n")
    done = docker("build", str(tmp_path))
    assert done.returncode == 3  # the step's own code
    assert "The command '/bin/sh -c exit 3' returned a non-zero code: 3" in done.stderr


def test_pull_of_the_unknown_says_why(docker: Docker) -> None:
    done = docker("pull", "nobody/has-this")
    assert done.returncode == 1
    assert "pull access denied for nobody/has-this" in done.stderr


def test_run_in_a_terminal_is_interactive(engine: EngineProcess, docker_command: str, docker: Docker) -> None:
    ours, theirs = pty.openpty()
    command = [docker_command, "run", "-it", "--rm", "busybox", "sh"]
    process = subprocess.Popen(
        command, env=engine.env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        read_until(ours, b"# ")
        os.write(ours, b"tty; echo $((6*7))\n")
        assert b"/dev/pts/0" in read_until(ours, b"42")
        os.write(ours, b"exit 5\n")
        read_until(ours, None)
        assert process.wait(DEADLINE) == 5
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_a_terminal_is_left_by_its_keys_and_the_container_goes_on(
    engine: EngineProcess, docker_command: str, docker: Docker
) -> None:
    ours, theirs = pty.openpty()
    command = [docker_command, "run", "-it", "--name", "left", "busybox", "sh"]
    process = subprocess.Popen(
        command, env=engine.env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        read_until(ours, b"# ")
        os.write(ours, b"\x10")
        os.write(ours, b"\x11")
        read_until(ours, None)
        assert process.wait(DEADLINE) == 0
        assert ok(docker("inspect", "-f", "{{.State.Status}}", "left")) == "running\n"
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(terminal: int, wanted: bytes | None) -> bytes:
    """Read until `wanted` appears, or to the end."""
    data = b""
    while wanted is None or wanted not in data:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # the other side is closed: EIO
            chunk = b""
        if not chunk:
            assert wanted is None, data
            break
        data += chunk
    return data


def test_a_build_whose_client_leaves_is_ended(
    engine: EngineProcess, docker_command: str, docker: Docker, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo begun; sleep 1000\n")
    process = subprocess.Popen(
        [docker_command, "build", str(tmp_path)],
        env=engine.env | {"DOCKER_BUILDKIT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        assert process.stdout is not None
        assert any(line == b"begun\n" for line in process.stdout)
        process.kill()
    assert until(lambda: list(engine.settings.containers.iterdir()) == [])
    assert until(lambda: list(engine.settings.tmp.iterdir()) == [])
