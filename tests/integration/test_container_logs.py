"""What containers say: logs that are kept short, and streams that are taken part in."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import docker.types
import pytest
from harness import EngineProcess

pytestmark = pytest.mark.root

Run = Callable[..., subprocess.CompletedProcess[str]]
COUNT = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done"


def test_a_log_of_limited_size_keeps_the_end_and_no_more_files_than_asked(
    engine: EngineProcess, client: Any, cli: Run
) -> None:
    options = ("--log-opt", "max-size=20k", "--log-opt", "max-file=3", "--name", "short")
    assert cli("run", *options, "busybox", "sh", "-c", COUNT).returncode == 0
    folder = engine.settings.container(client.containers.get("short").id)
    assert sorted(file.name for file in folder.glob("json.log*")) == ["json.log", "json.log.1", "json.log.2"]
    kept = cli("logs", "short").stdout.splitlines()
    assert 100 < len(kept) < 2000
    assert kept == [f"line {number}" for number in range(2000 - len(kept), 2000)]
    assert cli("logs", "-n", "300", "short").stdout.splitlines() == kept[-300:]


def test_a_follower_sees_every_line_of_a_log_that_is_put_aside_under_it(client: Any, cli: Run) -> None:
    options = {"max-size": "20k", "max-file": "20"}
    client.containers.run(
        "busybox",
        ["sh", "-c", f"read go; {COUNT}"],
        name="long",
        detach=True,
        stdin_open=True,
        log_config=docker.types.LogConfig(type="json-file", config=options),
    )
    follower = client.containers.get("long").logs(stream=True, follow=True)
    assert cli("attach", "long", input="\n").returncode == 0
    assert b"".join(follower).decode().splitlines() == [f"line {number}" for number in range(2000)]


def test_details_are_the_chosen_labels_and_variables(client: Any, cli: Run) -> None:
    options = ("--label", "role=db", "--log-opt", "labels=role", "--log-opt", "env=X", "-e", "X=1")
    assert cli("run", *options, "--name", "told", "busybox", "echo", "hi").returncode == 0
    assert cli("logs", "--details", "told").stdout == "X=1,role=db hi\n"


def test_a_container_without_a_log_says_so(client: Any, cli: Run) -> None:
    assert cli("run", "--log-driver", "none", "--name", "mute", "busybox", "echo", "hi").stdout == "hi\n"
    done = cli("logs", "mute")
    assert done.returncode == 1
    assert "configured logging driver does not support reading" in done.stderr


def test_following_ends_at_until(client: Any, cli: Run) -> None:
    client.containers.run("busybox", ["sh", "-c", "echo hi; exec sleep 1000"], name="on", detach=True)
    assert cli("logs", "-f", "--until", "1s", "on").returncode == 0


# What a client takes part in


def test_only_the_chosen_streams_are_shown(client: Any, cli: Run) -> None:
    script = "echo out; echo err >&2"
    for chosen, shown in (("stdout", ("out\n", "")), ("STDERR", ("", "err\n"))):
        done = cli("run", "--rm", "-a", chosen, "busybox", "sh", "-c", script)
        assert (done.stdout, done.stderr) == shown


def test_with_standard_input_alone_the_output_goes_to_the_log_only(client: Any, cli: Run) -> None:
    done = cli("run", "-i", "-a", "stdin", "--name", "fed", "busybox", "cat", input="fed\n")
    assert (done.returncode, done.stdout) == (0, "")
    assert client.containers.get("fed").logs() == b"fed\n"


def test_streams_that_cannot_be_chosen_are_refused(client: Any, cli: Run) -> None:
    done = cli("run", "-a", "stdoot", "busybox", "true")
    assert done.returncode == 125
    assert "valid streams are STDIN, STDOUT and STDERR" in done.stderr
    done = cli("run", "-d", "-a", "stdout", "busybox", "true")
    assert done.returncode in (1, 125)
    assert "conflicting options: cannot specify both --attach and --detach" in done.stderr
    assert client.containers.list(all=True) == []


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (("stop", "-t", "0"), "cannot attach to a stopped container, start it first"),
        (("pause",), "cannot attach to a paused container, unpause it first"),
    ],
)
def test_attaching_to_what_does_not_run_says_why(
    client: Any, cli: Run, prepare: tuple[str, ...], reason: str
) -> None:
    client.containers.run("busybox", ["sleep", "1000"], name="off", detach=True)
    assert cli(*prepare, "off").returncode == 0
    done = cli("attach", "off")
    assert done.returncode == 1
    assert reason in done.stderr
