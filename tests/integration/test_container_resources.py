"""Limits that hold, their change while a container runs, and what it uses."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from container_support import Room, until
from harness import EngineProcess
from test_container_lifecycle import SLEEP, in_room

from cutaway.container.spec import UpdateBody
from cutaway.container.stats import Statistics
from cutaway.container.updating import Updating
from cutaway.errors import BadInputError, CutawayError, NotFoundError
from cutaway.linux.hierarchies import version

pytestmark = pytest.mark.root
v1 = pytest.mark.skipif(version() != 1, reason="reads files of cgroup v1; tests/vm does the same on v2")


def wishes(**fields: Any) -> UpdateBody:
    return msgspec.convert(fields, UpdateBody)


def limit(made: Room, container: str, controller: str, file: str) -> str:
    group = made.containers.cgroup(made.containers.record(container))
    return Path(group.path(controller), file).read_text().strip()


@v1
def test_each_limit_is_written_into_the_group() -> None:
    async def test(made: Room) -> None:
        host = {
            "Memory": 64 << 20,
            "MemorySwap": 128 << 20,
            "MemoryReservation": 32 << 20,
            "MemorySwappiness": 7,
            "OomKillDisable": True,
            "CpuShares": 512,
            "CpuPeriod": 50000,
            "CpuQuota": 25000,
            "CpusetCpus": "0",
            "PidsLimit": 9,
        }
        container = await made.start(*SLEEP, host=host)
        read = {
            (controller, file): limit(made, container, controller, file)
            for controller, file in (
                ("memory", "memory.limit_in_bytes"),
                ("memory", "memory.memsw.limit_in_bytes"),
                ("memory", "memory.soft_limit_in_bytes"),
                ("memory", "memory.swappiness"),
                ("cpu", "cpu.shares"),
                ("cpu", "cpu.cfs_period_us"),
                ("cpu", "cpu.cfs_quota_us"),
                ("cpuset", "cpuset.cpus"),
                ("pids", "pids.max"),
            )
        }
        sizes = [str(64 << 20), str(128 << 20), str(32 << 20)]
        assert list(read.values()) == [*sizes, "7", "512", "50000", "25000", "0", "9"]
        assert "oom_kill_disable 1" in limit(made, container, "memory", "memory.oom_control")

    in_room(test)


@v1
def test_the_rate_of_a_disk_is_limited() -> None:
    disk = next(path for path in ("/dev/vda", "/dev/sda", "/dev/loop0") if Path(path).exists())

    async def test(made: Room) -> None:
        host = {"BlkioDeviceReadBps": [{"Path": disk, "Rate": 1 << 20}]}
        container = await made.start(*SLEEP, host=host)
        assert limit(made, container, "blkio", "blkio.throttle.read_bps_device").endswith(f" {1 << 20}")

    in_room(test)


@v1
def test_what_this_kernel_cannot_limit_is_told_and_not_shown() -> None:
    if (
        Path("/sys/fs/cgroup/blkio/blkio.weight").exists()
        or Path("/sys/fs/cgroup/blkio/blkio.bfq.weight").exists()
    ):
        pytest.skip("this kernel has weights for disks")

    async def test(made: Room) -> None:
        body = {"Image": "busybox", "HostConfig": {"BlkioWeight": 300, "KernelMemory": 1 << 30}}
        from cutaway.container.spec import CreateBody

        container, warnings = await made.containers.create("", msgspec.convert(body, CreateBody))
        assert warnings == [
            "Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. "
            "Limitation discarded.",
            "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
        ]
        assert (await made.looking.inspect(container))["HostConfig"]["BlkioWeight"] == 0

    in_room(test)


@v1
def test_limits_change_while_a_container_runs_and_stay_after_a_restart() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP, host={"Memory": 32 << 20, "PidsLimit": 50})
        updating = Updating(made.containers)
        changed = wishes(Memory=128 << 20, MemorySwap=256 << 20, CpusetCpus="0", CpuShares=100)
        assert await updating.update(container, changed) == []
        for _ in range(2):
            assert limit(made, container, "memory", "memory.limit_in_bytes") == str(128 << 20)
            assert limit(made, container, "memory", "memory.memsw.limit_in_bytes") == str(256 << 20)
            assert limit(made, container, "cpu", "cpu.shares") == "100"
            assert limit(made, container, "pids", "pids.max") == "50"
            assert limit(made, container, "cpuset", "cgroup.procs")
            await made.containers.restart(container, 0)
        assert [event.action for event in made.events.history()].count("update") == 1

    in_room(test)


@v1
def test_a_limit_that_the_kernel_refuses_leaves_everything_as_it_was() -> None:
    async def test(made: Room) -> None:
        script = "dd if=/dev/zero of=/dev/shm/x bs=1M count=40; exec sleep 1000"
        container = await made.start("sh", "-c", script, host={"Memory": 100 << 20, "MemorySwap": 100 << 20})
        group = made.containers.cgroup(made.containers.record(container))
        await until(lambda: group.stats()["memory"]["usage"] > 40 << 20)
        updating = Updating(made.containers)
        with pytest.raises(CutawayError, match="Cannot update container"):
            await updating.update(container, wishes(Memory=8 << 20, MemorySwap=8 << 20))
        assert limit(made, container, "memory", "memory.limit_in_bytes") == str(100 << 20)
        assert made.containers.record(container).host.memory == 100 << 20
        with pytest.raises(BadInputError, match="update the memoryswap at the same time"):
            await updating.update(container, wishes(Memory=200 << 20))
        with pytest.raises(NotFoundError):
            await updating.update("nobody", wishes(Memory=200 << 20))

    in_room(test)


def test_the_restart_policy_can_be_changed() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP)
        updating = Updating(made.containers)
        policy = {"Name": "on-failure", "MaximumRetryCount": 3}
        await updating.update(container, wishes(RestartPolicy=policy))
        assert (await made.looking.inspect(container))["HostConfig"]["RestartPolicy"] == policy
        fleeting = await made.start(*SLEEP, host={"AutoRemove": True})
        with pytest.raises(BadInputError, match="Restart policy cannot be updated because AutoRemove"):
            await updating.update(fleeting, wishes(RestartPolicy=policy))

    in_room(test)


def test_statistics_tell_what_a_container_uses() -> None:
    async def test(made: Room) -> None:
        script = "dd if=/dev/zero of=/dev/shm/x bs=1M count=20 2>/dev/null; while :; do :; done"
        container = await made.start("sh", "-c", script, host={"Memory": 200 << 20})
        statistics = Statistics(made.settings, made.containers)
        group = made.containers.cgroup(made.containers.record(container))
        await until(lambda: group.stats()["memory"]["usage"] > 20 << 20)
        found = await statistics.once(container)
        assert found["memory_stats"]["limit"] == 200 << 20
        assert found["memory_stats"]["usage"] > 20 << 20
        assert found["pids_stats"]["current"] >= 1
        assert found["networks"]["eth0"].keys() >= {"rx_bytes", "tx_bytes"}
        used = (
            found["cpu_stats"]["cpu_usage"]["total_usage"] - found["precpu_stats"]["cpu_usage"]["total_usage"]
        )
        assert used > 0
        assert found["cpu_stats"]["system_cpu_usage"] > found["precpu_stats"]["system_cpu_usage"]
        asleep = await statistics.once(await made.create("true"))
        assert asleep["read"].startswith("0001-")
        assert asleep["memory_stats"] == {}

    in_room(test)


def test_a_stream_of_statistics_ends_with_its_container() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP)
        readings = Statistics(made.settings, made.containers).stream(container)
        first = await anext(readings)
        assert first["precpu_stats"]["cpu_usage"]["total_usage"] == 0
        await made.containers.remove(container, force=True)
        rest = [reading async for reading in readings]
        assert len(rest) <= 1

    in_room(test)


def test_the_commands_show_and_change_limits(engine: EngineProcess, docker_command: str) -> None:
    import sys

    ours = (sys.executable, "-m", "cutaway.cli.main")
    try:
        engine.run(*ours, "run", "-d", "--name", "lim", "-m", "64m", "busybox", *SLEEP)
        for program in (ours, (docker_command,)):
            done = engine.run(*program, "update", "-m", "96m", "--memory-swap", "-1", "lim")
            assert (done.returncode, done.stdout) == (0, "lim\n"), done.stderr
            shown = engine.run(
                *program, "inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}", "lim"
            )
            assert shown.stdout == f"{96 << 20} -1\n"
            table = engine.run(*program, "stats", "--no-stream", "lim").stdout.splitlines()
            assert table[0].split("   ")[0].strip() == "CONTAINER ID"
            assert re.search(
                r"lim +\d+\.\d\d% +\S+iB / 96MiB +\d+\.\d\d% +\S+B / \S+B +0B / 0B +1 *$", table[1]
            )
            unknown = engine.run(*program, "stats", "--no-stream", "nobody")
            assert unknown.returncode == 1
            assert "No such container: nobody" in unknown.stderr
        assert engine.run(*ours, "update", "lim").returncode != 0
    finally:
        engine.remove_containers()


def test_many_read_statistics_at_once() -> None:
    async def test(made: Room) -> None:
        containers = [await made.start(*SLEEP) for _ in range(3)]
        statistics = Statistics(made.settings, made.containers)
        found = await asyncio.gather(*(statistics.once(one, one_shot=True) for one in containers * 10))
        assert {one["id"] for one in found} == set(containers)

    in_room(test)
