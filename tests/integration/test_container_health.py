"""Health checks, as real commands in real containers."""

from __future__ import annotations

from typing import Any

import pytest
from container_support import Room, until
from test_container_lifecycle import SLEEP, in_room

from cutaway.errors import BadInputError

pytestmark = pytest.mark.root

MILLISECOND = 1_000_000


def check(script: str, **more: Any) -> dict[str, Any]:
    times = {"Interval": 30 * MILLISECOND, "Timeout": 5000 * MILLISECOND, "Retries": 2}
    return {"Test": ["CMD-SHELL", script], **times, **more}


async def health(made: Room, container: str) -> dict[str, Any]:
    found: dict[str, Any] = (await made.looking.inspect(container))["State"]["Health"]
    return found


async def until_status(made: Room, container: str, status: str) -> None:
    state = made.containers.record(container).state
    await until(lambda: state.health is not None and state.health.status == status)


def words(made: Room) -> list[str]:
    return [event.action for event in made.events.history() if event.action.startswith("health_status")]


def test_a_check_that_succeeds_makes_a_container_healthy_and_one_that_fails_takes_it_back() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP, Healthcheck=check("test ! -e /ill && echo fine"))
        (listed,) = await made.looking.list()
        assert listed["Status"].endswith("(health: starting)")
        await until_status(made, container, "healthy")
        found = await health(made, container)
        assert (found["FailingStreak"], found["Log"][-1]["ExitCode"]) == (0, 0)
        assert found["Log"][-1]["Output"] == "fine\n"
        (listed,) = await made.looking.list()
        assert listed["Status"].endswith("(healthy)")
        await made.execute(container, "touch", "/ill")
        await until_status(made, container, "unhealthy")
        assert (await health(made, container))["FailingStreak"] >= 2
        assert words(made) == ["health_status: healthy", "health_status: unhealthy"]

    in_room(test)


def test_the_last_five_checks_are_kept() -> None:
    async def test(made: Room) -> None:
        script = "echo x >> /tmp/n; wc -l < /tmp/n"
        container = await made.start(*SLEEP, Healthcheck=check(script, Interval=5 * MILLISECOND))
        state = made.containers.record(container).state
        await until(
            lambda: state.health is not None and state.health.log and int(state.health.log[-1].output) > 7
        )
        log = (await health(made, container))["Log"]
        numbers = [int(entry["Output"]) for entry in log]
        assert numbers == list(range(numbers[0], numbers[0] + 5))
        assert all(entry["Start"] <= entry["End"] for entry in log)

    in_room(test)


def test_failures_do_not_count_while_the_container_is_starting() -> None:
    async def test(made: Room) -> None:
        forgiving = check("false", StartPeriod=3_600_000 * MILLISECOND, StartInterval=5 * MILLISECOND)
        container = await made.start(*SLEEP, Healthcheck=forgiving)
        state = made.containers.record(container).state
        await until(lambda: state.health is not None and len(state.health.log) == 5)
        found = await health(made, container)
        assert (found["Status"], found["FailingStreak"]) == ("starting", 0)

    in_room(test)


def test_a_check_that_takes_too_long_is_killed_and_has_failed() -> None:
    async def test(made: Room) -> None:
        slow = {"Test": ["CMD", "sleep", "999"], "Timeout": 50 * MILLISECOND}
        container = await made.start(*SLEEP, Healthcheck=check("", **slow, Interval=10 * MILLISECOND))
        await until_status(made, container, "unhealthy")
        entry = (await health(made, container))["Log"][-1]
        assert (entry["ExitCode"], entry["Output"]) == (-1, "Health check exceeded timeout (0.05s)")
        await made.containers.pause(container)
        _, processes = (
            made.containers.record(container),
            made.containers.cgroup(made.containers.record(container)),
        )
        assert len(processes.processes()) <= 2

    in_room(test)


def test_a_container_that_has_ended_is_not_healthy() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP, Healthcheck=check("true"))
        await until_status(made, container, "healthy")
        await made.containers.stop(container, 0)
        assert (await health(made, container))["Status"] == "unhealthy"
        await made.containers.start(container)
        assert (await health(made, container))["Status"] == "starting"

    in_room(test)


def test_the_next_engine_goes_on_checking() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP, Healthcheck=check("test ! -e /ill"))
        await until_status(made, container, "healthy")
        await made.vanish()
        await made.containers.health.close()
        await made.open()
        assert (await health(made, container))["Status"] == "healthy"
        await made.execute(container, "touch", "/ill")
        await until_status(made, container, "unhealthy")

    in_room(test)


def test_none_takes_the_images_check_away() -> None:
    async def test(made: Room) -> None:
        container = await made.start(*SLEEP, Healthcheck={"Test": ["NONE"]})
        assert "Health" not in (await made.looking.inspect(container))["State"]

    in_room(test)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"Test": ["CMD-SHELL", "true"], "Interval": 10}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"Test": ["CMD-SHELL", "true"], "Timeout": -5}, "Timeout in Healthcheck cannot be less than 1ms"),
        ({"Test": ["CMD-SHELL", "true"], "Retries": -1}, "Retries in Healthcheck cannot be negative"),
        ({"Test": ["RUN", "true"]}, "Unknown healthcheck type 'RUN'"),
    ],
)
def test_a_check_that_cannot_be_run_is_refused(wrong: dict[str, Any], message: str) -> None:
    async def test(made: Room) -> None:
        with pytest.raises(BadInputError, match=message):
            await made.create(*SLEEP, Healthcheck=wrong)

    in_room(test)
