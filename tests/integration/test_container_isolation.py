"""What separates a container from the host and from others, as the flags of `run` say."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from container_support import Room, until
from test_container_lifecycle import SLEEP, in_room

from cutaway.errors import BadInputError, ConflictError, CutawayError, NotFoundError

pytestmark = pytest.mark.root


def shows(
    script: str, expected: str, *, code: int = 0, host: dict[str, Any] | None = None, **config: Any
) -> None:
    """A container that runs a script with this HostConfig prints what is expected."""

    async def test(made: Room) -> None:
        assert await made.run("sh", "-c", script, host=host, **config) == (code, expected)

    in_room(test)


def refused(message: str, *, host: dict[str, Any] | None = None, **config: Any) -> None:
    """Creating is refused with this message, and nothing is made."""

    async def test(made: Room) -> None:
        with pytest.raises(BadInputError, match=message):
            await made.create("true", host=host, **config)
        assert list(made.settings.containers.iterdir()) == []
        assert not made.settings.root.joinpath("volumes").exists() or not list(
            made.settings.root.joinpath("volumes").iterdir()
        )

    in_room(test)


# Devices


def test_a_device_is_there_and_may_be_used() -> None:
    device = [{"PathOnHost": "/dev/loop-control", "PathInContainer": "/dev/log9", "CgroupPermissions": "rw"}]
    shows("test -c /dev/log9 && exec 3</dev/log9 && echo opened", "opened\n", host={"Devices": device})


def test_without_the_devices_rule_a_node_made_inside_cannot_be_opened() -> None:
    script = "mknod /k c 10 237; exec 3</k"
    shows(script, "sh: can't open /k: Operation not permitted\n", code=1)
    shows(script + "; echo opened", "opened\n", host={"DeviceCgroupRules": ["c 10:237 r"]})


def test_a_device_that_is_not_there_is_told_at_the_start() -> None:
    async def test(made: Room) -> None:
        container = await made.create("true", host={"Devices": [{"PathOnHost": "/dev/nothing"}]})
        with pytest.raises(BadInputError, match="error gathering device information"):
            await made.containers.start(container)

    in_room(test)


def test_privileged_has_the_devices_of_the_host_and_all_rights() -> None:
    script = "test -c /dev/loop-control && echo y; grep CapEff /proc/self/status; test -w /proc/sys && echo w"
    status = Path("/proc/self/status").read_text().splitlines()
    everything = next(line for line in status if line.startswith("CapEff"))
    shows(script, f"y\n{everything}\nw\n", host={"Privileged": True})


# Kernel settings and limits


def test_kernel_settings_of_the_namespaces_are_set() -> None:
    script = (
        "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmni /proc/sys/net/ipv4/conf/eth0/forwarding"
    )
    sysctls = {"net.core.somaxconn": "77", "kernel.shmmni": "99", "net.ipv4.conf.eth0.forwarding": "1"}
    before = Path("/proc/sys/kernel/shmmni").read_text()
    shows(script, "77\n99\n1\n", host={"Sysctls": sysctls})
    assert Path("/proc/sys/kernel/shmmni").read_text() == before


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ({"Sysctls": {"kernel.panic": "1"}}, "is not in a separate kernel namespace"),
        ({"Sysctls": {"net.core.somaxconn": "7"}, "NetworkMode": "host"}, "not allowed in host network"),
        ({"Sysctls": {"net./../x": "7"}}, "invalid sysctl"),
        ({"DeviceCgroupRules": ["everything"]}, "invalid device cgroup rule format"),
        ({"Devices": [{"PathOnHost": "/dev/null", "CgroupPermissions": "x"}]}, "invalid device"),
        ({"SecurityOpt": ["nonsense"]}, 'invalid --security-opt 1: "nonsense"'),
        ({"SecurityOpt": ["colour=red"]}, 'invalid --security-opt 2: "colour=red"'),
        ({"SecurityOpt": ["seccomp={"]}, "Decoding seccomp profile failed"),
        ({"SecurityOpt": ['seccomp={"defaultAction": "SCMP_ACT_PERHAPS"}']}, "action SCMP_ACT_PERHAPS"),
        ({"SecurityOpt": ["apparmor=mine"]}, "AppArmor is not supported on this host"),
        ({"PidMode": "strange"}, "invalid pid mode: strange"),
        ({"ShmSize": -1}, "SHM size can not be less than 0"),
        ({"OomScoreAdj": 2000}, "range for oom score adj"),
        ({"ExtraHosts": ["db:nowhere"]}, 'invalid IP address in add-host: "nowhere"'),
        ({"Dns": ["name"]}, "invalid DNS server"),
        ({"Tmpfs": {"/t": "colour=red"}}, "invalid tmpfs option"),
        ({"Binds": ["/a:/b:ro,rw"]}, "invalid mode: ro,rw"),
        ({"Binds": ["vv:/b", "ww:/b"]}, "Duplicate mount point: /b"),
        (
            {"Mounts": [{"Type": "bind", "Source": "/none", "Target": "/b"}]},
            "bind source path does not exist",
        ),
        ({"Mounts": [{"Type": "cluster", "Source": "v", "Target": "/b"}]}, "mount type unknown"),
        ({"NetworkMode": "container:"}, "invalid network mode"),
        ({"Ulimits": [{"Name": "nofile", "Soft": 9, "Hard": 5}]}, "ulimit soft limit must be less"),
        ({"DeviceRequests": [{"Count": -1}]}, "--gpus is not supported"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(host: dict[str, Any], message: str) -> None:
    refused(message, host=host)


def test_contradictions_of_names_are_refused() -> None:
    refused("hostname and the UTS mode", host={"UTSMode": "host"}, Hostname="me")
    refused("invalid MAC address", MacAddress="02:42")


# Names and addresses


def test_hosts_and_name_servers_are_as_asked_for() -> None:
    host = {
        "ExtraHosts": ["db:10.1.2.3", "box:host-gateway"],
        "Dns": ["10.9.9.9"],
        "DnsSearch": ["example.org"],
        "DnsOptions": ["ndots:3"],
    }
    gateway = "ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p'"
    script = f"grep -wE 'db|box' /etc/hosts; {gateway}; cat /etc/resolv.conf"

    async def test(made: Room) -> None:
        _, output = await made.run("sh", "-c", script, host=host)
        first, second, gateway, *resolv = output.splitlines()
        assert (first, second) == ("10.1.2.3\tdb", f"{gateway}\tbox")
        assert {"nameserver 10.9.9.9", "search example.org", "options ndots:3"} <= set(resolv)
        assert sum(line.startswith("nameserver") for line in resolv) == 1

    in_room(test)


def test_the_hardware_address_is_the_asked_for_one() -> None:
    shows("cat /sys/class/net/eth0/address", "02:42:ac:00:11:22\n", MacAddress="02:42:AC:00:11:22")


# Namespaces of others


def test_a_network_is_shared_with_another_container() -> None:
    async def test(made: Room) -> None:
        script = "echo -n hello | nc -l -p 4444 -w 20"
        server = await made.start("sh", "-c", script, name="server", Hostname="pod")
        shared = {"NetworkMode": "container:server"}
        listening = "until nc -w 5 127.0.0.1 4444; do :; done; hostname; cat /etc/hostname"
        code, output = await made.run("sh", "-c", listening, host=shared)
        assert (code, output) == (0, "hellopod\npod\n")
        found = await made.looking.inspect(await made.create("true", host=shared))
        assert found["HostConfig"]["NetworkMode"] == f"container:{server}"

    in_room(test)


def test_processes_are_shared_with_another_container_and_an_exec_is_at_home() -> None:
    async def test(made: Room) -> None:
        await made.start("sleep", "4321", name="first")
        second = await made.start(*SLEEP, host={"PidMode": "container:first"}, Hostname="second")
        _, seen = await made.execute(second, "sh", "-c", "ps; hostname; cat /proc/1/cmdline")
        assert b"sleep 4321" in seen
        assert b"sleep 1000" in seen
        assert b"\nsecond\n" in seen

    in_room(test)


def test_shared_memory_is_shared_only_by_who_allows_it() -> None:
    async def test(made: Room) -> None:
        script = "echo in memory > /dev/shm/x; exec sleep 1000"
        await made.start("sh", "-c", script, name="donor", host={"IpcMode": "shareable"})
        await made.start(*SLEEP, name="closed")
        mode = {"IpcMode": "container:donor"}
        code, output = await made.run("sh", "-c", "until cat /dev/shm/x 2>/dev/null; do :; done", host=mode)
        assert (code, output) == (0, "in memory\n")
        refused = await made.create("true", host={"IpcMode": "container:closed"})
        with pytest.raises(BadInputError, match="non-shareable IPC"):
            await made.containers.start(refused)
        assert (await made.run("ls", "/dev/shm", host={"IpcMode": "none"}))[0] == 1

    in_room(test)


def test_the_hosts_shared_memory_is_the_hosts() -> None:
    name = f"cutaway-test-{os.getpid()}"
    file = Path("/dev/shm", name)
    file.write_text("of the host\n")
    try:
        shows(f"cat /dev/shm/{name}", "of the host\n", host={"IpcMode": "host"})
        shows(f"cat /dev/shm/{name} 2>/dev/null", "", code=1)
    finally:
        file.unlink()


def test_joining_one_that_is_not_there_or_does_not_run_is_refused() -> None:
    async def test(made: Room) -> None:
        for mode in ("NetworkMode", "PidMode", "IpcMode"):
            with pytest.raises(NotFoundError, match="No such container: nobody"):
                await made.create("true", host={mode: "container:nobody"})
        await made.create("true", name="asleep")
        container = await made.create("true", host={"NetworkMode": "container:asleep"})
        with pytest.raises(ConflictError, match="non running container"):
            await made.containers.start(container)
        publish = {"80/tcp": [{"HostPort": "0"}]}
        with pytest.raises(BadInputError, match="port publishing and the container type network mode"):
            await made.create("true", host={"NetworkMode": "container:asleep", "PortBindings": publish})

    in_room(test)


# Init


def test_an_init_reaps_orphans_and_passes_signals_and_exit_codes_on() -> None:
    async def test(made: Room) -> None:
        host = {"Init": True}
        assert await made.run("sh", "-c", "cat /proc/1/comm; exit 7", host=host) == (7, "docker-init\n")
        container = await made.start("sh", "-c", "(sleep 0 & exec sleep 1000) & exec sleep 1000", host=host)
        members = made.containers.cgroup(made.containers.record(container))
        await until(lambda: len(list(members.processes())) > 1)  # before that, init has no handler yet
        await made.containers.stop(container)
        assert made.containers.record(container).state.exit_code == 143

    in_room(test)


# seccomp


def test_a_profile_of_the_users_own_decides() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
            {"names": ["sethostname"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["kill"], "action": "SCMP_ACT_ERRNO",
             "args": [{"index": 1, "value": 10, "op": "SCMP_CMP_EQ"}]},
        ],
    }  # fmt: skip
    option = {"SecurityOpt": [f"seccomp={json.dumps(profile)}"]}
    script = "mkdir /x 2>&1; kill -10 $$ 2>&1; kill -0 $$ && echo alive"
    refusals = "mkdir: can't create directory '/x': Operation not supported\n"
    expected = refusals + "sh: can't kill pid 1: Operation not permitted\nalive\n"
    shows(script, expected, host=option)


def test_no_new_privileges_holds_and_system_paths_can_be_opened() -> None:
    script = "grep NoNewPrivs /proc/self/status"
    shows(script, "NoNewPrivs:\t1\n", host={"SecurityOpt": ["no-new-privileges"]})
    shows(script, "NoNewPrivs:\t0\n", host={"SecurityOpt": ["no-new-privileges=false", "label=disable"]})
    open_paths = {"MaskedPaths": [], "ReadonlyPaths": []}
    shows("mount | grep -c ' /proc/'", "0\n", code=1, host=open_paths)


# Volumes


def test_a_new_volume_begins_with_what_the_image_has() -> None:
    async def test(made: Room) -> None:
        host = {"Binds": ["seeded:/etc"]}
        _, output = await made.run("sh", "-c", "ls /etc/passwd; touch /etc/mine", host=host)
        assert output == "/etc/passwd\n"
        volume = made.settings.root / "volumes/seeded/_data"
        assert (volume / "passwd").exists()
        (volume / "passwd").unlink()
        assert (await made.run("ls", "/etc/passwd", host=host))[0] == 1  # only what is empty is filled
        await made.create("true", host={"Binds": ["bare:/etc:nocopy"]})
        assert list((made.settings.root / "volumes/bare/_data").iterdir()) == []

    in_room(test)


def test_a_seeded_volume_has_the_owner_and_the_mode_of_the_images_folder() -> None:
    async def test(made: Room) -> None:
        await made.run("sh", "-c", "stat -c %a /tmp", host={"Binds": ["tmp:/tmp"]})
        assert (made.settings.root / "volumes/tmp/_data").stat().st_mode & 0o7777 == 0o1777

    in_room(test)


def test_volumes_of_another_container_are_mounted_too() -> None:
    async def test(made: Room) -> None:
        await made.create("true", name="data", host={"Binds": ["kept:/v"], "Tmpfs": {"/t": ""}})
        await made.run("sh", "-c", "echo kept > /v/f", host={"VolumesFrom": ["data"]})
        code, output = await made.run("sh", "-c", "cat /v/f; touch /v/g", host={"VolumesFrom": ["data:ro"]})
        assert (code, output) == (1, "kept\ntouch: /v/g: Read-only file system\n")
        with pytest.raises(NotFoundError, match="No such container: nobody"):
            await made.create("true", host={"VolumesFrom": ["nobody"]})
        with pytest.raises(BadInputError, match="invalid mode: rx"):
            await made.create("true", host={"VolumesFrom": ["data:rx"]})

    in_room(test)


def test_memory_is_mounted_with_its_options() -> None:
    mounts = [
        {"Type": "tmpfs", "Target": "/a", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o700}},
        {"Type": "volume", "Source": "vv", "Target": "/b", "ReadOnly": True},
    ]
    script = "stat -c %a /a; df -k /a | awk 'END {print $2}'; touch /b/x; mount | grep -c 'on /c .*uid=7'"
    host = {"Mounts": mounts, "Tmpfs": {"/c": "exec,uid=7"}}
    shows(script, "700\n1024\ntouch: /b/x: Read-only file system\n1\n", host=host)


def test_mounts_of_the_host_show_inside_when_they_are_to(tmp_path: Path) -> None:
    import subprocess

    subprocess.run(["mount", "-t", "tmpfs", "shared", str(tmp_path)], check=True)
    try:
        subprocess.run(["mount", "--make-shared", str(tmp_path)], check=True)
        (tmp_path / "below").mkdir()

        async def test(made: Room) -> None:
            mounted = await made.start(*SLEEP, host={"Binds": [f"{tmp_path}:/m:rslave"]})
            closed = await made.start(*SLEEP, host={"Binds": [f"{tmp_path}:/m"]})
            subprocess.run(["mount", "-t", "tmpfs", "late", str(tmp_path / "below")], check=True)
            try:
                (tmp_path / "below/late").touch()
                assert (await made.execute(mounted, "ls", "/m/below"))[1] == b"late\n"
                assert (await made.execute(closed, "ls", "/m/below"))[1] == b""
            finally:
                subprocess.run(["umount", str(tmp_path / "below")], check=True)

        in_room(test)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_what_fails_at_a_start_leaves_the_volume_and_nothing_else() -> None:
    async def test(made: Room) -> None:
        container = await made.create("no-such-program", host={"Init": True, "Binds": ["vv:/v"]})
        await made.containers.start(container)
        assert await made.containers.wait(container) == 127
        other = await made.create("true", host={"Sysctls": {"net.core.nothing": "1"}})
        with pytest.raises(CutawayError, match="cannot set net"):
            await made.containers.start(other)

    in_room(test)
