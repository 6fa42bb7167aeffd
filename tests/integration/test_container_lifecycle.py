"""Containers from create to remove, on the real kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from container_support import Room, room, until

from cutaway.errors import (
    BadInputError,
    CommandNotExecutableError,
    CommandNotFoundError,
    ConflictError,
    NotFoundError,
)

pytestmark = pytest.mark.root

SLEEP = ("sleep", "1000")


def in_room(test: Callable[[Room], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with room() as made:
            await test(made)

    asyncio.run(whole())


def test_a_program_runs_and_its_exit_code_and_output_are_kept() -> None:
    async def test(made: Room) -> None:
        code, output = await made.run("sh", "-c", "echo out; echo err >&2; exit 7")
        assert code == 7
        assert sorted(output.splitlines()) == ["err", "out"]

    in_room(test)


def test_a_container_sees_a_machine_of_its_own() -> None:
    async def test(made: Room) -> None:
        script = "hostname; echo $$; cat /etc/hostname; ip -o -4 addr show eth0 | wc -l; pwd"
        code, output = await made.run("sh", "-c", script, Hostname="lab", WorkingDir="/made/for/it")
        assert (code, output.split()) == (0, ["lab", "1", "lab", "1", "/made/for/it"])

    in_room(test)


def test_rights_are_those_of_a_docker_container() -> None:
    async def test(made: Room) -> None:
        script = "grep -E 'CapEff|Seccomp:' /proc/self/status; mknod /x b 8 0 && dd if=/x of=/dev/null"
        _, output = await made.run("sh", "-c", script)
        assert "CapEff:\t00000000a80425fb" in output
        assert "Seccomp:\t2" in output
        assert "Operation not permitted" in output

    in_room(test)


def test_the_user_is_found_in_the_image_and_given_his_home() -> None:
    async def test(made: Room) -> None:
        code, output = await made.run(
            "sh", "-c", "id -u; id -g; echo $HOME; echo hi > /dev/stderr", User="www-data"
        )
        assert (code, output) == (0, "33\n33\n/var/www\nhi\n")
        with pytest.raises(
            BadInputError, match="unable to find user nobodyelse: no matching entries in passwd file"
        ):
            await made.run("true", User="nobodyelse")

    in_room(test)


@pytest.mark.parametrize(
    ("argv", "error", "code"),
    [
        (("nosuch",), CommandNotFoundError('exec: "nosuch": executable file not found in $PATH'), 127),
        (("/etc/passwd",), CommandNotExecutableError('exec: "/etc/passwd": permission denied'), 126),
    ],
)
def test_a_program_that_cannot_start_leaves_the_reason_and_nothing_else(
    argv: tuple[str, ...], error: Exception, code: int
) -> None:
    async def test(made: Room) -> None:
        container = await made.create(*argv)
        with pytest.raises(type(error)) as raised:
            await made.containers.start(container)
        assert str(raised.value) == str(error)
        state = (await made.looking.inspect(container))["State"]
        assert (state["Status"], state["ExitCode"], state["Error"]) == ("created", code, str(error))
        assert await made.containers.keeper.list() == []
        assert made.database.leases("bridge") == {}

    in_room(test)


def test_stop_asks_and_then_kills_after_the_grace_period() -> None:
    async def test(made: Room) -> None:
        polite = await made.start("sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done")
        await until(lambda: (made.settings.container(polite) / "json.log").stat().st_size)
        assert await made.containers.stop(polite, 20)
        assert (await made.looking.inspect(polite))["State"]["ExitCode"] == 3
        deaf = await made.start(*SLEEP)
        assert await made.containers.stop(deaf, 0)
        assert (await made.looking.inspect(deaf))["State"]["ExitCode"] == 137
        assert not await made.containers.stop(deaf)

    in_room(test)


def test_a_running_container_is_removed_only_by_force() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP, name="held")
        with pytest.raises(ConflictError) as refused:
            await made.containers.remove("held")
        assert str(refused.value) == (
            'cannot remove container "/held": container is running: '
            "stop the container before removing or force remove"
        )
        await made.containers.remove("held", force=True)
        with pytest.raises(NotFoundError, match="No such container: held"):
            await made.looking.inspect("held")
        assert not made.settings.container(container).exists()

    in_room(test)


def test_what_is_not_running_is_neither_killed_nor_entered() -> None:
    async def test(made: Room) -> None:
        container = await made.create("true", name="still")
        with pytest.raises(
            ConflictError, match=f"cannot kill container: still: container {container} is not running"
        ):
            await made.containers.kill("still")
        with pytest.raises(ConflictError, match=f"container {container} is not running"):
            await made.execute(container, "true")

    in_room(test)


def test_names_are_checked_and_kept_apart() -> None:
    async def test(made: Room) -> None:
        first = await made.create("true", name="one")
        with pytest.raises(
            ConflictError, match=f'The container name "/one" is already in use by container "{first}"'
        ):
            await made.create("true", name="one")
        with pytest.raises(BadInputError, match=r"Invalid container name \(a b\), only"):
            await made.create("true", name="a b")
        assert list(made.settings.containers.iterdir()) == [made.settings.container(first)]

    in_room(test)


def test_limits_are_set_and_a_greedy_program_is_killed_for_memory() -> None:
    async def test(made: Room) -> None:
        host = {"Memory": 16 << 20, "NanoCpus": 500_000_000, "PidsLimit": 20}
        container = await made.start("sh", "-c", "x=a; while :; do x=$x$x; done", host=host)
        assert await made.containers.wait(container) == 137
        state = (await made.looking.inspect(container))["State"]
        assert (state["ExitCode"], state["OOMKilled"]) == (137, True)

    in_room(test)


def test_auto_remove_takes_the_container_away_and_tells_the_exit_code() -> None:
    async def test(made: Room) -> None:
        container = await made.create("sh", "-c", "exit 5", host={"AutoRemove": True})
        gone = asyncio.ensure_future(made.containers.wait(container, "removed"))
        await asyncio.sleep(0)
        await made.containers.start(container)
        assert await asyncio.wait_for(gone, 30) == 5
        assert await made.looking.list(all=True) == []

    in_room(test)


def test_binds_volumes_and_tmpfs_are_where_they_were_asked(tmp_path: Path) -> None:
    async def test(made: Room) -> None:
        (tmp_path / "there").write_text("from the host")
        host = {
            "Binds": [f"{tmp_path}:/in:ro", f"{tmp_path}/made:/out", "data:/volume"],
            "Tmpfs": {"/scratch": "size=1m"},
            "ReadonlyRootfs": True,
        }
        script = "cat /in/there; echo x > /in/no; echo y > /out/file; echo z > /volume/z; echo r > /r"
        _, output = await made.run("sh", "-c", script, host=host)
        assert "from the host" in output
        assert output.count("Read-only file system") == 2
        assert (tmp_path / "made/file").read_text() == "y\n"
        assert (made.settings.root / "volumes/data/_data/z").read_text() == "z\n"

    in_room(test)


def test_an_image_cannot_lead_a_mount_out_by_a_link(tmp_path: Path) -> None:
    async def test(made: Room) -> None:
        container = await made.create("true")
        upper = made.settings.container(container) / "upper"
        (upper / "etc").mkdir()
        (upper / "etc/hosts").symlink_to(f"../../../../../../../..{tmp_path}/hosts")
        (upper / "proc").symlink_to(tmp_path)
        with pytest.raises(Exception, match="symbolic link"):
            await made.containers.start(container)
        assert list(tmp_path.iterdir()) == []

    in_room(test)


def test_pause_freezes_and_a_kill_still_ends_it() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP)
        await made.containers.pause(container)
        assert (await made.looking.inspect(container))["State"]["Status"] == "paused"
        with pytest.raises(ConflictError, match="unpause"):
            await made.containers.remove(container)
        await made.containers.kill(container)
        assert (await made.looking.inspect(container))["State"]["ExitCode"] == 137

    in_room(test)


def test_a_container_starts_again_with_what_it_had_written() -> None:
    async def test(made: Room) -> None:
        container = await made.create("sh", "-c", "echo x >> /file; wc -l < /file")
        for _ in range(2):
            await made.containers.start(container)
            await made.containers.wait(container)
        assert await made.output(container) == "1\n2\n"
        changed = await made.looking.changes(container)
        assert {"Path": "/file", "Kind": 1} in changed

    in_room(test)


def test_no_descriptor_of_the_keeper_reaches_a_container() -> None:
    async def test(made: Room) -> None:
        await made.start(*SLEEP)
        container = await made.start(*SLEEP, OpenStdin=True)
        pid = (await made.looking.inspect(container))["State"]["Pid"]
        assert sorted(path.name for path in Path(f"/proc/{pid}/fd").iterdir()) == ["0", "1", "2"]
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert status["SigIgn"] == "0" * 16
        assert status["SigBlk"] == "0" * 16

    in_room(test)


def test_the_list_tells_what_docker_tells() -> None:
    async def test(made: Room) -> None:
        running = await made.start(*SLEEP, name="up", Labels={"role": "web"})
        ended = await made.create("sh", "-c", "exit 2", name="down")
        await made.containers.start(ended)
        await made.containers.wait(ended)
        assert [entry["Id"] for entry in await made.looking.list()] == [running]
        by_exit = await made.looking.list(all=True, filters={"exited": ["2"]})
        assert [entry["Names"] for entry in by_exit] == [["/down"]]
        assert by_exit[0]["Status"].startswith("Exited (2) ")
        by_label = await made.looking.list(filters={"label": ["role=web"], "ancestor": ["busybox"]})
        assert [entry["Command"] for entry in by_label] == ["sleep 1000"]
        assert [e["Id"] for e in await made.looking.list(filters={"status": ["exited"]})] == [ended]

    in_room(test)


def test_signals_go_to_the_first_process() -> None:
    async def test(made: Room) -> None:
        container = await made.start(
            "sh", "-c", "trap 'echo got it; exit 9' USR1; echo ready; while :; do sleep 0.05; done"
        )
        await until(lambda: (made.settings.container(container) / "json.log").stat().st_size)
        await made.containers.kill(container, "USR1")
        assert await made.containers.wait(container) == 9
        assert await made.output(container) == "ready\ngot it\n"
        with pytest.raises(BadInputError, match="Invalid signal: NOSUCH"):
            await made.containers.kill(container, "NOSUCH")

    in_room(test)


def test_the_trace_tells_each_step_of_a_start() -> None:
    async def test(made: Room) -> None:
        container = await made.start("true")
        trace = await made.containers.trace(container)
        assert trace is not None
        assert trace["result"] == "ok"
        assert [step["phase"] for step in trace["steps"]][:2] == ["before", "clone"]
        assert trace["steps"][-1]["text"] == "become true"
        assert all(step["result"] == "ok" for step in trace["steps"])

    in_room(test)


def test_explaining_makes_nothing() -> None:
    async def test(made: Room) -> None:
        import msgspec

        from cutaway.container.spec import CreateBody

        body = msgspec.convert({"Image": "busybox", "Cmd": ["true"]}, CreateBody)
        plan = await made.containers.plan("", body)
        assert plan.inside[-1].describe() == "become true"
        assert await made.looking.list(all=True) == []
        assert list(made.settings.containers.iterdir()) == []

    in_room(test)


def test_host_network_and_none_are_what_they_say() -> None:
    async def test(made: Room) -> None:
        host_namespace = str(Path("/proc/self/ns/net").readlink())
        _, output = await made.run("readlink", "/proc/self/ns/net", host={"NetworkMode": "host"})
        assert output.strip() == host_namespace
        _, output = await made.run("sh", "-c", "ls /sys/class/net", host={"NetworkMode": "none"})
        assert "eth0" not in output
        assert "lo" in output

    in_room(test)
