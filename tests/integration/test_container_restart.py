"""Restart policies, on the real kernel: who is started again, after what, and who is left in peace."""

from __future__ import annotations

from typing import Any

import pytest
from container_support import Room, until
from test_container_lifecycle import SLEEP, in_room

from cutaway.errors import BadInputError, ConflictError

pytestmark = pytest.mark.root


def policy(name: str, count: int = 0) -> dict[str, Any]:
    return {"RestartPolicy": {"Name": name, "MaximumRetryCount": count}}


def actions(made: Room) -> list[str]:
    return [event.action for event in made.events.history() if event.type == "container"]


def test_on_failure_gives_up_after_its_number_of_tries() -> None:
    async def test(made: Room) -> None:
        container = await made.start("sh", "-c", "echo try; exit 3", host=policy("on-failure", 2))
        await until(lambda: made.containers.record(container).state.status == "exited")
        inspected = await made.looking.inspect(container)
        assert inspected["RestartCount"] == 2
        assert inspected["State"]["ExitCode"] == 3
        assert await made.output(container) == "try\ntry\ntry\n"
        assert actions(made).count("start") == 3

    in_room(test)


def test_on_failure_is_content_with_success() -> None:
    async def test(made: Room) -> None:
        container = await made.create("true", host=policy("on-failure"))
        await made.containers.start(container)
        await made.containers.wait(container)
        state = (await made.looking.inspect(container))["State"]
        assert (state["Status"], state["Restarting"]) == ("exited", False)

    in_room(test)


def test_a_container_between_two_starts_is_restarting_and_counts_as_running() -> None:
    async def test(made: Room) -> None:
        container = await made.start("false", host=policy("always"))
        await until(lambda: made.containers.record(container).restart_count >= 2)
        kept = made.containers.shelf.find(container)
        await until(lambda: kept.record.state.status == "restarting" and not kept.lock.locked())
        state = (await made.looking.inspect(container))["State"]
        assert (state["Running"], state["Restarting"], state["Pid"]) == (True, True, 0)
        (listed,) = await made.looking.list()
        assert listed["State"] == "restarting"
        assert listed["Status"].startswith("Restarting (1) ")
        with pytest.raises(
            ConflictError, match="container is restarting: stop the container before removing"
        ):
            await made.containers.remove(container)
        with pytest.raises(ConflictError, match="is restarting, wait until the container is running"):
            await made.containers.pause(container)
        assert await made.containers.stop(container)
        record = made.containers.record(container)
        starts = actions(made).count("start")
        assert record.state.status == "exited"
        await made.containers.stop(container)
        assert actions(made).count("start") == starts

    in_room(test)


def test_a_forced_removal_ends_the_restarts() -> None:
    async def test(made: Room) -> None:
        container = await made.start("false", host=policy("always"))
        await until(lambda: made.containers.record(container).restart_count >= 1)
        await made.containers.remove(container, force=True)
        assert await made.looking.list(all=True) == []

    in_room(test)


def test_what_was_stopped_or_killed_by_hand_stays_down() -> None:
    async def test(made: Room) -> None:
        stopped = await made.start(*SLEEP, host=policy("always"))
        await made.containers.stop(stopped, 0)
        killed = await made.start(*SLEEP, host=policy("unless-stopped"))
        await made.containers.kill(killed)
        for container in (stopped, killed):
            record = made.containers.record(container)
            assert (record.state.status, record.restart_count) == ("exited", 0)

    in_room(test)


def test_a_program_that_dies_by_a_strange_hand_is_started_again() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP, host=policy("unless-stopped"))
        first = made.containers.record(container).state.pid
        await made.containers.keeper.signal(container, 9)
        await until(lambda: made.containers.record(container).state.pid not in (0, first))
        assert made.containers.record(container).restart_count == 1

    in_room(test)


def test_the_next_engine_starts_what_always_runs_and_leaves_what_was_stopped() -> None:
    async def test(made: Room) -> None:
        always = await made.start(*SLEEP, host=policy("always"))
        unless = await made.start(*SLEEP, host=policy("unless-stopped"))
        failing = await made.start("sh", "-c", "sleep 0.3; exit 1", host=policy("on-failure"))
        for container in (always, unless):
            await made.containers.stop(container, 0)
        folder = made.settings.container(failing)
        await made.vanish()
        await until(lambda: (folder / "exit.json").exists())
        await made.open()
        await until(lambda: made.containers.record(always).state.running)
        await until(lambda: made.containers.record(failing).restart_count >= 1)
        assert made.containers.record(unless).state.status == "exited"

    in_room(test)


def test_a_start_by_hand_begins_to_count_anew() -> None:
    async def test(made: Room) -> None:
        container = await made.start("false", host=policy("on-failure", 1))
        await until(lambda: made.containers.record(container).state.status == "exited")
        assert made.containers.record(container).restart_count == 1
        await made.containers.start(container)
        await until(lambda: made.containers.record(container).state.status == "exited")
        assert made.containers.record(container).restart_count == 1

    in_room(test)


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (policy("sometimes"), "invalid restart policy: unknown policy 'sometimes'"),
        (policy("always", 3), "maximum retry count can only be used with 'on-failure'"),
        (policy("on-failure", -1), "maximum retry count cannot be negative"),
        (policy("always") | {"AutoRemove": True}, "can't create 'AutoRemove' container with restart policy"),
    ],
)
def test_a_policy_that_is_none_is_refused(host: dict[str, Any], message: str) -> None:
    async def test(made: Room) -> None:
        with pytest.raises(BadInputError, match=message):
            await made.create("true", host=host)
        assert await made.looking.list(all=True) == []

    in_room(test)


def test_stop_and_restart_are_told_in_dockers_order() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP)
        await made.containers.stop(container, 0)
        assert actions(made) == ["create", "start", "kill", "kill", "die", "stop"]
        await made.containers.start(container)
        await made.containers.restart(container, 0)
        assert actions(made)[6:] == ["start", "kill", "kill", "die", "stop", "start", "restart"]
        (die,) = [event for event in made.events.history() if event.action == "die"][:1]
        assert die.attributes["exitCode"] == "137"
        assert die.attributes["execDuration"].isdigit()

    in_room(test)
