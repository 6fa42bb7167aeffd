"""What may be asked for, how the image fills it in, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cutaway.container.attaching import detach_keys
from cutaway.container.checks import check, check_name, signal_number
from cutaway.container.shelf import Shelf
from cutaway.container.spec import CreateBody, merge_image
from cutaway.container.users import find_user, layered_reader
from cutaway.container.volumes import mounts_of
from cutaway.errors import BadInputError
from cutaway.oci.image import RunConfig


class NoRows:
    """A database without containers."""

    def put_container(self, container_id: str, name: str, json: str) -> None:
        """Nothing is kept."""

    def containers(self) -> list[str]:
        """None."""
        return []

    def delete_container(self, container_id: str) -> None:
        """Nothing is there."""


NOBODY = Shelf(NoRows())


def body(**fields: Any) -> CreateBody:
    return msgspec.json.decode(msgspec.json.encode({"Cmd": ["true"], **fields}), type=CreateBody)


def refused(**fields: Any) -> str:
    asked = body(**fields)
    with pytest.raises(BadInputError) as error:
        check(asked.config(), asked.host_config, asked.networking_config)
    return error.value.message


def test_null_means_the_default_everywhere() -> None:
    nulls = {field.encode_name: None for field in msgspec.structs.fields(CreateBody)}
    assert body(**nulls | {"Cmd": ["true"]}) == body()


@pytest.mark.parametrize(
    ("asked", "image", "argv"),
    [
        ({"Cmd": ["b"]}, {"Entrypoint": ["e"], "Cmd": ["a"]}, ["e", "b"]),
        ({"Cmd": None}, {"Entrypoint": ["e"], "Cmd": ["a"]}, ["e", "a"]),
        ({"Cmd": None, "Entrypoint": ["x"]}, {"Entrypoint": ["e"], "Cmd": ["a"]}, ["x"]),
        ({"Cmd": ["b"], "Entrypoint": [""]}, {"Entrypoint": ["e"], "Cmd": ["a"]}, ["b"]),
        ({"Cmd": "b", "Entrypoint": "x"}, {}, ["x", "b"]),
    ],
)
def test_command_and_entrypoint_are_merged_by_dockers_rules(
    asked: dict[str, Any], image: dict[str, Any], argv: list[str]
) -> None:
    merged = merge_image(body(**asked).config(), msgspec.convert(image, RunConfig))
    assert merged.argv == argv


def test_variables_and_labels_of_the_image_stay_unless_they_are_given() -> None:
    image = RunConfig(
        env=["PATH=/bin", "A=image"], labels={"l": "image", "m": "image"}, working_dir="/w", user="u"
    )
    merged = merge_image(body(Env=["A=mine"], Labels={"l": "mine"}).config(), image)
    assert merged.env == ["PATH=/bin", "A=mine"]
    assert merged.labels == {"l": "mine", "m": "image"}
    assert (merged.working_dir, merged.user) == ("/w", "u")


def test_refusals_are_dockers_words() -> None:
    assert refused(Cmd=None) == "no command specified"
    assert refused(HostConfig={"Memory": 5 << 20}) == "Minimum memory limit allowed is 6MB"
    assert refused(HostConfig={"Memory": 64 << 20, "MemorySwap": 32 << 20}).startswith(
        "Minimum memoryswap limit"
    )
    assert refused(WorkingDir="etc").startswith(
        "the working directory 'etc' is invalid, it needs to be an absolute"
    )
    assert refused(HostConfig={"CapAdd": ["NOPE"]}) == 'invalid capability: unknown capability: "NOPE"'
    assert refused(StopSignal="SIGNOPE") == "Invalid signal: SIGNOPE"


@pytest.mark.parametrize(
    ("host", "flag"),
    [
        ({"Links": ["x:y"]}, "--link"),
        ({"NetworkMode": "mine"}, "network"),
        ({"DeviceRequests": [{"Count": 1}]}, "--gpus"),
        ({"StorageOpt": {"size": "1G"}}, "--storage-opt"),
        ({"LogConfig": {"Type": "syslog"}}, "log driver"),
        ({"UsernsMode": "keep-id"}, "userns"),
    ],
)
def test_what_is_not_there_is_refused_by_name(host: dict[str, Any], flag: str) -> None:
    assert flag in refused(HostConfig=host)


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ({"Memory": 64 << 20, "MemoryReservation": 65 << 20}, "Minimum memory limit can not be less"),
        ({"MemorySwappiness": 101}, "valid memory swappiness range is 0-100"),
        ({"CpuPeriod": 10}, "CPU cfs period can not be less than 1ms"),
        ({"CpuQuota": 10}, "CPU cfs quota can not be less than 1ms"),
        ({"NanoCpus": 10**9, "CpuPeriod": 10**5}, "Nano CPUs and CPU Period cannot both be set"),
        ({"CpuRealtimeRuntime": 1}, "does not support CPU real-time scheduler"),
        ({"CpusetCpus": "900"}, "Requested CPUs are not available - requested 900, available: 0"),
        ({"CpusetCpus": "one"}, "Invalid value one for cpuset cpus"),
        ({"CpusetMems": "99"}, "Requested memory nodes are not available"),
        ({"BlkioWeight": 5}, "Range of blkio weight is from 10 to 1000"),
        ({"BlkioDeviceReadBps": [{"Path": "/dev/nothing", "Rate": 1}]}, "failed to get device /dev/nothing"),
        ({"BlkioDeviceReadBps": [{"Path": "/etc/passwd", "Rate": 1}]}, "/etc/passwd is not a device"),
    ],
)
def test_limits_that_cannot_be_are_refused(host: dict[str, Any], message: str) -> None:
    assert message in refused(HostConfig=host)


def test_what_the_stock_client_always_sends_is_taken() -> None:
    host = {
        "MemorySwappiness": -1,
        "RestartPolicy": {"Name": "no"},
        "Init": None,
        "Isolation": "",
        "CgroupnsMode": "",
    }
    asked = body(HostConfig=host, NetworkingConfig={"EndpointsConfig": {"default": None}})
    assert check(asked.config(), asked.host_config, asked.networking_config) == []


@pytest.mark.parametrize(("text", "number"), [("", 15), ("KILL", 9), ("sigusr1", 10), ("2", 2)])
def test_signals_have_names_and_numbers(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize("name", ["a b", "-a", "ä", "a/b", "x"])
def test_names_that_would_confuse_are_refused(name: str) -> None:
    with pytest.raises(BadInputError, match=r"only \[a-zA-Z0-9\]"):
        check_name(name)


def test_detach_keys_are_bytes_of_a_terminal() -> None:
    assert detach_keys("") == b"\x10\x11"
    assert detach_keys("ctrl-@,a,ctrl-[") == b"\x00a\x1b"
    with pytest.raises(BadInputError, match="Unknown character: 'ctrl'"):
        detach_keys("ctrl")


def test_binds_volumes_and_requests_become_mounts() -> None:
    host = {
        "Binds": ["/host/a:/a/b:ro", "data:/data"],
        "Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 4096}}],
    }
    asked = body(HostConfig=host, Volumes={"/anonymous": {}})
    found = {mount.destination: mount for mount in mounts_of(asked, asked.host_config, Path("/v"), NOBODY)}
    assert (found["/a/b"].source, found["/a/b"].read_only) == ("/host/a", True)
    assert found["/data"].source == "/v/data/_data"
    assert "size=4096" in found["/t"].options
    assert found["/anonymous"].anonymous


@pytest.mark.parametrize("bind", ["/a:b", "/a:/", "/a:/b:nope", ":/b", "../x:/b", "/a:/b:ro:x"])
def test_binds_that_make_no_sense_are_refused(bind: str) -> None:
    asked = body(HostConfig={"Binds": [bind]})
    with pytest.raises(BadInputError):
        mounts_of(asked, asked.host_config, Path("/v"), NOBODY)


def test_a_missing_source_of_a_mount_is_told(tmp_path: Path) -> None:
    asked = body(HostConfig={"Mounts": [{"Type": "bind", "Source": f"{tmp_path}/no", "Target": "/t"}]})
    with pytest.raises(BadInputError, match="bind source path does not exist"):
        mounts_of(asked, asked.host_config, Path("/v"), NOBODY)


def test_users_are_found_in_the_topmost_layer_that_tells(tmp_path: Path) -> None:
    top, low = tmp_path / "top", tmp_path / "low"
    for folder in (top, low):
        (folder / "etc").mkdir(parents=True)
    (low / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n")
    (low / "etc/group").write_text("wheel:x:10:web,root\nstaff:x:50:\n")
    read = layered_reader([top, low])
    web = find_user("web", read)
    assert (web.uid, web.gid, web.groups, web.home) == (33, 34, (10,), "/srv")
    assert find_user("web:staff", read).gid == 50
    assert find_user("4000", read).uid == 4000
    assert find_user("", read).home == "/root"
    (top / "etc/passwd").symlink_to("/etc/passwd")
    with pytest.raises(BadInputError, match="unable to find user web"):
        find_user("web", read)
    with pytest.raises(BadInputError, match="unable to find group nogrp"):
        find_user("1:nogrp", read)
