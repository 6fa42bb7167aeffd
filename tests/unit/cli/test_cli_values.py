"""What flags mean in the API's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutaway import moments
from cutaway.cli import values
from cutaway.cli.failures import CommandError
from cutaway.cli.options import create_body
from cutaway.cli.session import Session
from cutaway.cli.streams import Streams
from cutaway.cli.tree import root


def body_of(*words: str) -> dict[str, Any]:
    """The create body of `run …`."""
    session = Session(Streams(None, lambda data: None, lambda data: None))
    context = click.Context(root, info_name="cutaway", obj=session)
    command = root.get_command(context, "run")
    assert command is not None
    with command.make_context("run", list(words), parent=context) as made:
        options = dict(made.params)
    return create_body(options.pop("image"), options.pop("words"), options)


@pytest.mark.parametrize(
    ("text", "number"),
    [("64m", 64 * 2**20), ("1.5g", 3 * 2**29), ("512", 512), ("10kb", 10240), ("1GiB", 2**30), ("0", 0)],
)
def test_sizes_are_powers_of_1024(text: str, number: int) -> None:
    assert values.size(text) == number


@pytest.mark.parametrize("text", ["", "m", "-1", "12x", "1 2", "1.m"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid size"):
        values.size(text)


@pytest.mark.parametrize(
    ("text", "key", "address", "port"),
    [
        ("80", "80/tcp", "", ""),
        ("8080:80", "80/tcp", "", "8080"),
        ("127.0.0.1:8080:80", "80/tcp", "127.0.0.1", "8080"),
        ("127.0.0.1::80", "80/tcp", "127.0.0.1", ""),
        ("[::1]:8080:80", "80/tcp", "::1", "8080"),
        ("53:53/udp", "53/udp", "", "53"),
        ("8000-8010:80", "80/tcp", "", "8000-8010"),
    ],
)
def test_a_port_may_be_published_in_each_form(text: str, key: str, address: str, port: str) -> None:
    assert values.port_bindings([text]) == {key: [{"HostIp": address, "HostPort": port}]}


def test_ranges_of_ports_are_paired() -> None:
    assert values.port_bindings(["8000-8001:80-81"]) == {
        "80/tcp": [{"HostIp": "", "HostPort": "8000"}],
        "81/tcp": [{"HostIp": "", "HostPort": "8001"}],
    }


@pytest.mark.parametrize(
    "text", ["x:80", "80:", "1:2:3:4", "0:0", "80:99999", "1-2:3-5", "80:80/icmp", "[::1:80:80"]
)
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid|no port"):
        values.port_bindings([text])


@given(st.text(max_size=20))
def test_any_text_for_a_port_is_read_or_refused(text: str) -> None:
    try:
        found = values.port_bindings([text])
    except ValueError:
        return
    assert all(0 < int(key.partition("/")[0]) < 65536 for key in found)


def test_a_relative_bind_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert values.volume("./site:/www:ro") == ("/www", f"{tmp_path}/site:/www:ro")
    assert values.volume("data:/www") == ("/www", "data:/www")
    assert values.volume("/www") == ("", "/www")


def test_variables_come_from_files_then_flags_and_from_here(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# a comment\nA=1\n\nHERE\nGONE\n")
    found = values.variables(["B=2=3", "HERE"], [str(file)], {"HERE": "x"})
    assert found == ["A=1", "HERE=x", "B=2=3", "HERE=x"]


def test_an_env_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot read the env file") as caught:
        values.variables([], [str(tmp_path / "no")], {})
    assert caught.value.exit_code == 125


def test_durations_are_gos() -> None:
    assert moments.seconds("1h30m") == 5400
    assert moments.seconds("500ms") == 0.5
    with pytest.raises(ValueError, match="invalid duration"):
        moments.seconds("5 minutes")


def test_a_moment_is_seconds_since_the_epoch() -> None:
    assert moments.moment("1700000000.25") == "1700000000.25"
    assert moments.moment("2023-11-14T22:13:20Z") == "1700000000.000000000"
    assert float(moments.moment("10m")) < float(moments.moment("0s"))


def test_run_makes_dockers_body() -> None:
    body = body_of(
        "-d", "-p", "8080:80", "-m", "64m", "--cpus", "0.5", "-e", "A=1", "-w", "/tmp", "-u", "1:2", "-h",
        "box", "--net", "none", "--entrypoint", "sh", "-l", "a=b", "-l", "c", "-v", "/h:/c:ro", "-v", "/d",
        "--rm", "busybox", "-c", "true",
    )  # fmt: skip
    assert body == {
        "Image": "busybox",
        "Cmd": ["-c", "true"],
        "Entrypoint": ["sh"],
        "Env": ["A=1"],
        "WorkingDir": "/tmp",
        "User": "1:2",
        "Labels": {"a": "b", "c": ""},
        "Hostname": "box",
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/d": {}},
        "HostConfig": {
            "AutoRemove": True,
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
            "Binds": ["/h:/c:ro"],
            "NetworkMode": "none",
            "Memory": 64 * 2**20,
            "NanoCpus": 500_000_000,
        },
        "NetworkingConfig": {},
    }


def test_an_attached_run_with_input_closes_it_once() -> None:
    body = body_of("-i", "busybox")
    assert (body["OpenStdin"], body["StdinOnce"], body["AttachStdin"]) == (True, True, True)
    assert "StdinOnce" not in body_of("-i", "-d", "busybox")


def test_an_empty_entrypoint_takes_the_images_own_away() -> None:
    assert body_of("--entrypoint", "", "busybox")["Entrypoint"] == [""]


def test_restart_and_rm_exclude_each_other() -> None:
    with pytest.raises(CommandError, match="cannot specify both --restart and --rm") as caught:
        body_of("--rm", "--restart", "always", "busybox")
    assert caught.value.exit_code == 125


def test_devices_and_limits_have_their_short_forms() -> None:
    host = body_of("--device", "/dev/null:rw", "--device", "/dev/zero:/z", "--ulimit", "nofile=5:9", "b")[
        "HostConfig"
    ]
    assert host["Devices"] == [
        {"PathOnHost": "/dev/null", "PathInContainer": "/dev/null", "CgroupPermissions": "rw"},
        {"PathOnHost": "/dev/zero", "PathInContainer": "/z", "CgroupPermissions": "rwm"},
    ]
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 5, "Hard": 9}]


def test_filters_are_lists_by_name() -> None:
    assert values.filters(["status=exited", "status=created", "name=web"]) == {
        "status": ["exited", "created"], "name": ["web"],
    }  # fmt: skip
    assert values.filters([]) is None
    with pytest.raises(CommandError, match="invalid filter"):
        values.filters(["status"])


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        (
            "type=bind,src=/a,dst=/b,ro",
            {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True},
        ),
        ("target=/v,readonly=false", {"Type": "volume", "Target": "/v", "ReadOnly": False}),
        (
            "type=volume,source=db,target=/v,volume-nocopy,volume-label=a=b",
            {
                "Type": "volume",
                "Source": "db",
                "Target": "/v",
                "VolumeOptions": {"NoCopy": True, "Labels": {"a": "b"}},
            },
        ),
        (
            "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700",
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o700}},
        ),
        (
            'type=bind,"src=/with,comma",dst=/b,bind-propagation=rslave',
            {
                "Type": "bind",
                "Source": "/with,comma",
                "Target": "/b",
                "BindOptions": {"Propagation": "rslave"},
            },
        ),
    ],
)
def test_a_mount_is_read(text: str, mount: dict[str, Any]) -> None:
    assert body_of("--mount", text, "busybox")["HostConfig"]["Mounts"] == [mount]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=bind,src=/a", "target is required"),
        ("dst=/b,colour=red", "unexpected key 'colour' in 'colour=red'"),
        ("dst=/b,colour", "invalid field 'colour' must be a key=value pair"),
        ("type=bind,src=/a,dst=/b,tmpfs-size=1m", "cannot mix 'tmpfs-*' options with mount type 'bind'"),
        ("dst=/b,readonly=perhaps", "invalid value for readonly: perhaps"),
        ("type=tmpfs,dst=/b,tmpfs-mode=999", "invalid value for tmpfs-mode: 999"),
    ],
)
def test_a_mount_that_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(CommandError) as refused:
        body_of("--mount", text, "busybox")
    assert message in str(refused.value)
    assert refused.value.exit_code == 125


def test_a_health_check_is_put_together() -> None:
    words = ("--health-cmd", "ls /", "--health-interval", "1m30s", "--health-retries", "2")
    assert body_of(*words, "busybox")["Healthcheck"] == {
        "Test": ["CMD-SHELL", "ls /"],
        "Interval": 90 * 10**9,
        "Retries": 2,
    }
    assert body_of("--no-healthcheck", "busybox")["Healthcheck"] == {"Test": ["NONE"]}
    assert "Healthcheck" not in body_of("busybox")
    with pytest.raises(CommandError, match="--no-healthcheck conflicts"):
        body_of("--no-healthcheck", "--health-cmd", "true", "busybox")


def test_security_options_are_read_where_the_files_are(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{\n "defaultAction": "SCMP_ACT_ALLOW"\n}')
    host = body_of(
        "--security-opt", f"seccomp={tmp_path}/p.json", "--security-opt", "systempaths=unconfined", "busybox"
    )["HostConfig"]
    assert host["SecurityOpt"] == ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']
    assert (host["MaskedPaths"], host["ReadonlyPaths"]) == ([], [])
    with pytest.raises(CommandError, match="opening seccomp profile"):
        body_of("--security-opt", "seccomp=/nope.json", "busybox")


def test_disks_have_rates_and_weights() -> None:
    host = body_of("--device-read-bps", "/dev/sda:1mb", "--blkio-weight-device", "/dev/sda:500", "busybox")[
        "HostConfig"
    ]
    assert host["BlkioDeviceReadBps"] == [{"Path": "/dev/sda", "Rate": 1 << 20}]
    assert host["BlkioWeightDevice"] == [{"Path": "/dev/sda", "Weight": 500}]
    with pytest.raises(CommandError, match="bad format for device path"):
        body_of("--device-read-iops", "sda:1", "busybox")


def test_labels_come_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("# mine\na=1\n\nb=2\n")
    body = body_of("--label-file", f"{tmp_path}/labels", "-l", "b=3", "busybox")
    assert body["Labels"] == {"a": "1", "b": "3"}
