"""Containers through docker-py, aiodocker and plain HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from harness import EngineProcess, UnixConnection, until

pytestmark = pytest.mark.root
docker = pytest.importorskip("docker")


@pytest.fixture
def client(engine: EngineProcess) -> Iterator[Any]:
    """A client; what a test leaves behind is removed after it."""
    client = engine.client()
    yield client
    engine.remove_containers()


@contextlib.contextmanager
def conversation(raw: Any) -> Iterator[Any]:
    """docker-py hands out the file of a socket, and closes neither of them by itself."""
    try:
        yield raw
    finally:
        connection = raw._sock
        raw._response.close()
        connection.close()


def test_hello_world_needs_nothing_but_the_engine(engine: EngineProcess, client: Any) -> None:
    engine.request("POST", "/cutaway/images/bootstrap?name=hello-world")
    output = client.containers.run("hello-world", remove=True)
    assert b"Hello" in output


def test_run_gives_the_output(client: Any) -> None:
    assert client.containers.run("busybox", ["echo", "hi"], remove=True) == b"hi\n"


def test_run_tells_a_failures_code_and_words(client: Any) -> None:
    with pytest.raises(docker.errors.ContainerError) as caught:
        client.containers.run("busybox", ["sh", "-c", "echo sorry >&2; exit 7"], remove=True, stderr=True)
    assert caught.value.exit_status == 7
    assert b"sorry" in caught.value.stderr


def test_stdout_and_stderr_are_told_apart(client: Any) -> None:
    container = client.containers.run("busybox", ["sh", "-c", "echo out; echo err >&2"], detach=True)
    container.wait()
    assert container.logs(stdout=True, stderr=False) == b"out\n"
    assert container.logs(stdout=False, stderr=True) == b"err\n"


def test_a_container_passes_through_its_states(client: Any) -> None:
    container = client.containers.create("busybox", ["sleep", "1000"])
    assert container.status == "created"
    container.start()
    container.reload()
    assert container.status == "running"
    container.kill()
    assert container.wait()["StatusCode"] == 137
    container.reload()
    assert container.status == "exited"
    container.remove()
    with pytest.raises(docker.errors.NotFound):
        client.containers.get(container.id)


def test_starting_twice_changes_nothing(engine: EngineProcess, client: Any) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    assert engine.request("POST", f"/containers/{container.id}/start")[0] == 304


def test_stop_kills_what_does_not_listen(client: Any) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    container.stop(timeout=0)
    assert container.wait()["StatusCode"] == 137


def test_a_container_is_found_by_name_id_and_beginning(client: Any) -> None:
    container = client.containers.create("busybox", ["true"], name="found")
    for name in ("found", container.id, container.id[:12], container.id[:5]):
        assert client.containers.get(name).id == container.id


def test_a_name_in_use_is_refused_in_dockers_words(client: Any) -> None:
    first = client.containers.create("busybox", ["true"], name="taken")
    with pytest.raises(docker.errors.APIError) as caught:
        client.containers.create("busybox", ["true"], name="taken")
    assert caught.value.status_code == 409
    assert caught.value.explanation == (
        f'Conflict. The container name "/taken" is already in use by container "{first.id}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )


def test_a_container_of_an_unknown_image_is_refused(client: Any) -> None:
    with pytest.raises(docker.errors.ImageNotFound) as caught:
        client.api.create_container("nothing-here", ["true"])
    assert caught.value.explanation == "No such image: nothing-here:latest"


def test_a_missing_program_is_told_at_start(client: Any) -> None:
    container = client.containers.create("busybox", ["no-such-program"])
    with pytest.raises(docker.errors.APIError, match="executable file not found") as caught:
        container.start()
    assert caught.value.status_code == 400
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 127


def test_too_little_memory_is_refused(client: Any) -> None:
    with pytest.raises(docker.errors.APIError, match="Minimum memory limit allowed is 6MB"):
        client.containers.create("busybox", ["true"], mem_limit="1m")


def test_a_running_container_is_not_removed_without_force(client: Any) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    with pytest.raises(docker.errors.APIError) as caught:
        container.remove()
    assert caught.value.status_code == 409
    container.remove(force=True)
    assert client.containers.list(all=True) == []


def test_listing_shows_running_ones_and_with_all_the_others(client: Any) -> None:
    running = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    made = client.containers.create("busybox", ["true"])
    assert {container.id for container in client.containers.list()} == {running.id}
    assert {container.id for container in client.containers.list(all=True)} == {running.id, made.id}
    assert [c.id for c in client.containers.list(all=True, filters={"status": "created"})] == [made.id]


def test_logs_are_followed_to_the_end(client: Any) -> None:
    script = "for n in 1 2 3; do echo $n; done; read x; echo end"
    container = client.containers.create("busybox", ["sh", "-c", script], stdin_open=True)
    with conversation(container.attach_socket(params={"stdin": 1, "stream": 1})) as talk:
        container.start()
        lines = container.logs(stream=True, follow=True)
        seen = b""
        while seen != b"1\n2\n3\n":
            seen += next(lines)
        talk._sock.sendall(b"go on\n")
        assert list(lines) == [b"end\n"]


def test_logs_tail_since_and_timestamps(client: Any) -> None:
    container = client.containers.run("busybox", ["seq", "1", "20"], detach=True)
    container.wait()
    assert container.logs(tail=2) == b"19\n20\n"
    stamp, _, text = container.logs(tail=1, timestamps=True).partition(b" ")
    assert text == b"20\n"
    assert stamp.startswith(time.strftime("%Y").encode())
    assert container.logs(since=int(time.time()) + 100) == b""


def test_a_follower_that_leaves_frees_everything(engine: EngineProcess, client: Any) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    before = engine.request("GET", "/info")[1]["NFd"]
    connection = UnixConnection(engine.socket)
    connection.request("GET", f"/containers/{container.id}/logs?follow=1&stdout=1")
    assert connection.getresponse().status == 200
    assert engine.request("GET", "/info")[1]["NFd"] > before
    connection.close()
    assert until(lambda: engine.request("GET", "/info")[1]["NFd"] <= before)


def test_input_goes_in_and_its_end_too(client: Any) -> None:
    container = client.containers.create("busybox", ["cat"], stdin_open=True, tty=False)
    with conversation(
        container.attach_socket(params=dict.fromkeys(("stdin", "stdout", "stream"), 1))
    ) as talk:
        container.start()
        talk._sock.sendall(b"hello")
        talk._sock.shutdown(socket.SHUT_WR)
        assert talk.read() == b"\x01\0\0\0\0\0\0\x05hello"
    assert container.wait()["StatusCode"] == 0


def test_a_terminal_is_a_terminal(client: Any) -> None:
    assert client.containers.run("busybox", ["tty"], tty=True, remove=True) == b"/dev/pts/0\r\n"


def test_a_terminal_gets_its_size(client: Any) -> None:
    container = client.containers.create(
        "busybox", ["sh", "-c", "read x; stty size"], tty=True, stdin_open=True
    )
    with conversation(
        container.attach_socket(params=dict.fromkeys(("stdin", "stdout", "stream"), 1))
    ) as talk:
        container.start()
        container.resize(33, 101)
        talk._sock.sendall(b"\n")
        assert b"33 101" in talk.read()


def test_exec_runs_beside(client: Any) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True, hostname="inside")
    assert container.exec_run(["hostname"]) == (0, b"inside\n")
    code, (out, err) = container.exec_run(["sh", "-c", "echo a; echo b >&2; exit 3"], demux=True)
    assert (code, out, err) == (3, b"a\n", b"b\n")


def test_exec_of_a_missing_program_gives_127(client: Any) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    code, output = container.exec_run(["no-such-program"])
    assert code == 127
    assert b"executable file not found" in output


def test_exec_needs_a_running_container(client: Any) -> None:
    container = client.containers.create("busybox", ["true"])
    with pytest.raises(docker.errors.APIError) as caught:
        container.exec_run(["true"])
    assert caught.value.status_code == 409
    assert caught.value.explanation == f"container {container.id} is not running"


def test_exec_takes_input(client: Any) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    made = client.api.exec_create(container.id, ["wc", "-c"], stdin=True)
    with conversation(client.api.exec_start(made["Id"], socket=True)) as talk:
        talk._sock.sendall(b"x" * 100_000)
        talk._sock.shutdown(socket.SHUT_WR)
        assert talk.read()[8:].strip() == b"100000"
    assert until(lambda: client.api.exec_inspect(made["Id"])["ExitCode"] == 0)


def test_wait_hears_the_end_that_comes_later(engine: EngineProcess, client: Any) -> None:
    container = client.containers.create("busybox", ["sh", "-c", "exit 9"])
    connection = UnixConnection(engine.socket)
    connection.request("POST", f"/containers/{container.id}/wait?condition=next-exit")
    answer = connection.getresponse()  # the headers come before the end
    container.start()
    assert answer.read().strip() == b'{"StatusCode":9}'
    connection.close()


def test_wait_for_an_unknown_container_is_refused(engine: EngineProcess) -> None:
    status, body, _ = engine.request("POST", "/containers/nobody/wait")
    assert (status, body["message"]) == (404, "No such container: nobody")


def test_pause_stops_time_inside(client: Any) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    container.pause()
    container.reload()
    assert container.status == "paused"
    container.unpause()
    container.reload()
    assert container.status == "running"


def test_rename_frees_the_old_name(client: Any) -> None:
    container = client.containers.create("busybox", ["true"], name="before")
    container.rename("after")
    assert client.containers.get("after").id == container.id
    client.containers.create("busybox", ["true"], name="before")


def test_top_lists_the_processes(client: Any) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    top = container.top()
    assert len(top["Titles"]) == len(top["Processes"][0])
    assert any("sleep 1000" in row[-1] for row in top["Processes"])


def test_diff_names_what_was_changed(client: Any) -> None:
    container = client.containers.run("busybox", ["sh", "-c", "touch /tmp/new; rm /bin/wget"], detach=True)
    container.wait()
    changes = {(change["Path"], change["Kind"]) for change in container.diff()}
    assert {("/tmp/new", 1), ("/bin/wget", 2), ("/bin", 0)} <= changes


def test_prune_removes_what_does_not_run(client: Any) -> None:
    running = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    made = client.containers.create("busybox", ["true"])
    assert client.containers.prune()["ContainersDeleted"] == [made.id]
    assert [container.id for container in client.containers.list(all=True)] == [running.id]


def test_memory_is_limited_and_the_killer_is_named(client: Any) -> None:
    eat = "x=a; while true; do x=$x$x; done"
    container = client.containers.run("busybox", ["sh", "-c", eat], mem_limit="16m", detach=True)
    assert container.wait()["StatusCode"] == 137
    container.reload()
    assert container.attrs["State"]["OOMKilled"] is True


def test_the_plan_of_a_run_can_be_read_without_running(engine: EngineProcess, client: Any) -> None:
    status, plan, _ = engine.request("POST", "/cutaway/plan", {"Image": "busybox", "Cmd": ["true"]})
    assert status == 200
    texts = [step["text"] for step in plan["steps"]]
    assert any("proc" in text for text in texts)
    assert any(step["calls"] for step in plan["steps"])
    assert client.containers.list(all=True) == []


def test_the_steps_of_a_start_are_kept_with_their_times(engine: EngineProcess, client: Any) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    status, trace, _ = engine.request("GET", f"/cutaway/containers/{container.id}/plan")
    assert status == 200
    assert trace["steps"]
    assert all(step["result"] == "ok" and step["us"] >= 0 for step in trace["steps"])


def test_published_ports_answer_on_the_loopback(client: Any) -> None:
    container = client.containers.run(
        "busybox",
        ["sh", "-c", "while true; do echo hello | nc -l -p 80; done"],
        ports={"80/tcp": None},
        detach=True,
    )
    container.reload()
    port = int(container.ports["80/tcp"][0]["HostPort"])

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as peer:
            return peer.recv(16) == b"hello\n"
        return False

    assert until(answers, 20)


def test_aiodocker_runs_a_container(engine: EngineProcess, client: Any) -> None:
    aiodocker = pytest.importorskip("aiodocker")

    async def scene() -> list[str]:
        remote = aiodocker.Docker(url=engine.settings.address)
        try:
            config = {"Image": "busybox", "Cmd": ["echo", "from aiodocker"]}
            container = await remote.containers.create(config=config)
            await container.start()
            await container.wait()
            return list(await container.log(stdout=True))
        finally:
            await remote.close()

    assert asyncio.run(scene()) == ["from aiodocker\n"]
