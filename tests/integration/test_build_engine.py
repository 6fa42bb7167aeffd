"""Builds through the engine: RUN in a real container, the network in it, the stock client, interruption."""

from __future__ import annotations

import io
import json
import socket
import tarfile
from pathlib import Path
from typing import Any

import pytest
from harness import EngineProcess, UnixConnection, until

pytestmark = pytest.mark.root


def context(dockerfile: str, **files: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, text in {"Dockerfile": dockerfile, **files}.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()


def build(engine: EngineProcess, dockerfile: str, query: str = "", **files: str) -> list[dict[str, Any]]:
    """The messages of a build."""
    kind = {"Content-Type": "application/x-tar"}
    connection = UnixConnection(engine.socket)
    connection.request("POST", f"/build?{query}", body=context(dockerfile, **files), headers=kind)
    lines = connection.getresponse().read().splitlines()
    connection.close()
    return [json.loads(line) for line in lines if line]


def shown(messages: list[dict[str, Any]]) -> str:
    return "".join(message.get("stream", "") for message in messages)


def containers(engine: EngineProcess) -> list[Any]:
    found: list[Any] = engine.request("GET", "/containers/json?all=1")[1]
    return found


def test_a_run_that_changes_nothing_adds_no_layer(engine: EngineProcess) -> None:
    messages = build(engine, "FROM busybox\nRUN true\n", "nocache=1&t=nothing")
    assert "Successfully tagged nothing:latest" in shown(messages)
    _, image, _ = engine.request("GET", "/images/nothing/json")
    _, base, _ = engine.request("GET", "/images/busybox/json")
    assert image["RootFS"]["Layers"] == base["RootFS"]["Layers"]


def test_an_image_that_was_built_runs_with_its_settings(engine: EngineProcess) -> None:
    dockerfile = (
        "FROM busybox\nENV name=ann\nWORKDIR /w\nCOPY hi .\nRUN cat hi > ran\n"
        'CMD ["sh", "-c", "cat ran; echo $name"]\n'
    )
    messages = build(engine, dockerfile, "t=settings", hi="hello\n")
    assert "Successfully built" in shown(messages)
    assert engine.client().containers.run("settings", remove=True) == b"hello\nann\n"


def test_a_failing_run_tells_its_code_and_leaves_no_container(engine: EngineProcess) -> None:
    last = build(engine, "FROM busybox\nRUN echo out; exit 7\n")[-1]
    assert last["errorDetail"] == {
        "code": 7,
        "message": "The command '/bin/sh -c echo out; exit 7' returned a non-zero code: 7",
    }
    assert last["cutaway"]["line"] == 2
    assert containers(engine) == []


def test_a_broken_dockerfile_is_refused_by_status(engine: EngineProcess) -> None:
    status, answer, _ = engine.request("POST", "/build", context("FROM busybox\nRNU x\n"))
    assert status == 400
    assert answer["message"].splitlines()[0] == "dockerfile parse error line 2: unknown instruction: RNU"
    assert answer["hint"] == "did you mean RUN?"


def test_a_client_that_leaves_ends_the_running_step(engine: EngineProcess) -> None:
    connection = UnixConnection(engine.socket)
    body = context("FROM busybox\nRUN echo started; sleep 1000\n")
    connection.request("POST", "/build?nocache=1", body=body, headers={"Content-Type": "application/x-tar"})
    answer = connection.getresponse()
    while b"started" not in (line := answer.readline()) or b"Step" in line:
        assert line, "the build ended"
    assert connection.sock is not None
    connection.sock.shutdown(socket.SHUT_RDWR)
    answer.close()
    connection.close()
    containers_folder = engine.settings.containers
    assert until(lambda: not list(containers_folder.iterdir()), 20)
    assert until(lambda: not list(engine.settings.tmp.glob("build-*")), 20)


def test_docker_py_shows_the_build_and_raises_on_failure(engine: EngineProcess) -> None:
    import docker.errors

    client = engine.client()
    image, log = client.images.build(fileobj=io.BytesIO(b"FROM busybox\nLABEL a=b\n"), tag="py:1", rm=True)
    assert image.labels == {"a": "b"}
    assert any(line.get("aux", {}).get("ID") == image.id for line in log)
    with pytest.raises(docker.errors.BuildError, match="non-zero code: 1"):
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN false\n"))


def test_the_stock_client_builds(engine: EngineProcess, docker_command: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY . /src/\nRUN ls /src\n")
    (tmp_path / ".dockerignore").write_text("secret\n")
    (tmp_path / "secret").write_text("")
    (tmp_path / "open").write_text("")
    env = engine.env | {"DOCKER_BUILDKIT": "0"}
    done = engine.run(docker_command, "build", "-t", "stock", str(tmp_path), env=env)
    assert done.returncode == 0, done.stderr
    assert "open\n" in done.stdout
    assert "secret" not in done.stdout
    again = engine.run(docker_command, "build", "-t", "stock", str(tmp_path), env=env)
    assert again.stdout.count("---> Using cache") == 2
