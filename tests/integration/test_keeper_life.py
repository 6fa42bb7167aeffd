"""What becomes of containers when the engine or the keeper dies."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from container_support import Room, until
from test_container_lifecycle import SLEEP, in_room

from cutaway.container.plan import Plan
from cutaway.container.takeover import _cgroups
from cutaway.errors import BadInputError, ConflictError, EngineUnavailableError, StepError
from cutaway.linux.cgroups import MakeCgroup, RemoveCgroup
from cutaway.linux.mounts import PrivateMounts
from cutaway.linux.program import Exec

pytestmark = pytest.mark.root


async def succeed(made: Room) -> None:
    """The engine is killed and the next one takes over."""
    await made.vanish()
    await made.open()


def test_containers_run_on_without_an_engine_and_keep_their_words() -> None:
    async def test(made: Room) -> None:
        runs = await made.start(
            "sh", "-c", "read x; echo got $x; exit 4", OpenStdin=True, host={"PortBindings": {}}
        )
        ends = await made.start("sh", "-c", "sleep 0.3; echo late; exit 8")
        address = (await made.looking.inspect(runs))["NetworkSettings"]["IPAddress"]
        folder = made.settings.container(ends)
        await made.vanish()
        await until(lambda: (folder / "exit.json").exists())
        await made.open()
        state = (await made.looking.inspect(ends))["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 8)
        assert await made.output(ends) == "late\n"
        assert (await made.looking.inspect(runs))["NetworkSettings"]["IPAddress"] == address
        client = await made.attach(runs, stdin=True)
        await client.send(b"it\n")
        assert await client.output(1) == b"got it\n"
        assert await made.containers.wait(runs) == 4

    in_room(test)


def test_auto_remove_is_made_up_for() -> None:
    async def test(made: Room) -> None:
        container = await made.start("sleep", "0.2", host={"AutoRemove": True})
        folder = made.settings.container(container)
        await made.vanish()
        await until(lambda: (folder / "exit.json").exists())
        await made.open()
        assert await made.looking.list(all=True) == []
        assert not folder.exists()

    in_room(test)


def test_what_was_half_made_is_cleared() -> None:
    async def test(made: Room) -> None:
        lost = await made.create("true")
        made.settings.container(lost).rename(made.settings.tmp / "gone")
        (made.settings.containers / ("a" * 64)).mkdir()
        started = await made.start(*SLEEP)
        record = made.containers.record(started)
        record.state.status, record.state.pid = "created", 0  # as if it had not been written down yet
        made.containers.shelf.save(made.containers.shelf.find(started))
        await succeed(made)
        listed = await made.looking.list(all=True)
        assert [(entry["Id"], entry["State"]) for entry in listed] == [(started, "running")]
        assert [path.name for path in made.settings.containers.iterdir()] == [started]

    in_room(test)


def test_the_keepers_death_is_the_containers_death_and_is_noticed() -> None:
    async def test(made: Room) -> None:
        container = await made.start("sh", "-c", "sleep 1000 & exec sleep 1000", User="nobody")
        pid = made.containers.record(container).state.pid
        end = asyncio.ensure_future(made.containers.wait(container, "next-exit"))
        await asyncio.sleep(0)
        os.kill(made.containers.keeper.pid, signal.SIGKILL)
        assert await asyncio.wait_for(end, 30) == 137
        await until(lambda: not Path(f"/proc/{pid}").exists())
        assert _cgroups(made.settings) == set()
        assert (await made.run("echo", "again"))[1] == "again\n"

    in_room(test)


def test_a_step_that_fails_is_named_and_undone() -> None:
    async def test(made: Room) -> None:
        cgroup = (made.settings.instance, "x" * 64)
        plan = Plan(
            before=(MakeCgroup(*cgroup),),
            inside=(PrivateMounts(), Exec(("true",), ("PATH=/bin",))),
            after=(RemoveCgroup(*cgroup),),
        )
        wrong = Plan.from_json(plan.to_json() | {"namespaces": ["user"]})
        with pytest.raises(StepError) as failed:
            await made.containers.keeper.start("x" * 64, wrong.to_json())
        assert failed.value.step == "PrivateMounts"
        assert _cgroups(made.settings) == set()
        assert await made.containers.keeper.list() == []

    in_room(test)


def test_a_wrong_request_does_not_end_the_keeper() -> None:
    async def test(made: Room) -> None:
        keeper = made.containers.keeper
        with pytest.raises(BadInputError, match="knows no operation"):
            await keeper.request("nonsense")
        with pytest.raises(Exception, match="KeyError"):
            await keeper.request("start", id="y")
        with pytest.raises(ConflictError, match="is not running"):
            await keeper.signal("y", 9)
        assert (await keeper.request("hello"))["pid"] == keeper.pid

    in_room(test)


def test_interrupts_of_the_terminal_do_not_reach_the_keeper() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP)
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(made.containers.keeper.pid, number)
        assert [p["id"] for p in await made.containers.keeper.list()] == [container]
        assert Path(f"/proc/{made.containers.keeper.pid}/comm").read_text() == "cutaway-keeper\n"

    in_room(test)


def test_a_large_environment_travels_whole() -> None:
    async def test(made: Room) -> None:
        values = [f"V{number}={'x' * 1000}" for number in range(300)]
        _, output = await made.run("sh", "-c", "env | grep -c '^V'", Env=values)
        assert output == "300\n"

    in_room(test)


def test_fifty_containers_start_at_once() -> None:
    async def test(made: Room) -> None:
        ids = await asyncio.gather(*(made.start(*SLEEP) for _ in range(50)))
        assert len(await made.containers.keeper.list()) == 50
        addresses = {made.containers.record(one).endpoint.address for one in ids}  # type: ignore[union-attr]
        assert len(addresses) == 50
        await asyncio.gather(*(made.containers.remove(one, force=True) for one in ids))
        assert await made.containers.keeper.list() == []

    in_room(test)


def test_a_keeper_that_cannot_start_is_said(tmp_path: Path) -> None:
    from cutaway.container.keeper_client import KeeperClient

    async def test() -> None:
        (tmp_path / "keeper.sock").mkdir()
        client = KeeperClient(tmp_path / "keeper.sock", tmp_path / "keeper.log")
        with pytest.raises(EngineUnavailableError, match="the keeper does not answer on"):
            await client.connect()

    asyncio.run(test())
