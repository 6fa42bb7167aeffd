"""The event log: kept in order, bounded, and heard at once."""

from __future__ import annotations

import asyncio

from cutaway.events import KEPT, EventLog


def test_an_event_reads_as_docker_writes_it() -> None:
    event = EventLog().emit("container", "start", "abc", {"image": "busybox", "name": "web"})
    data = event.to_docker()
    assert data | {"time": 0, "timeNano": 0} == {
        "Type": "container",
        "Action": "start",
        "Actor": {"ID": "abc", "Attributes": {"image": "busybox", "name": "web"}},
        "scope": "local",
        "status": "start",
        "id": "abc",
        "from": "busybox",
        "time": 0,
        "timeNano": 0,
    }
    assert data["time"] == data["timeNano"] // 10**9


def test_times_rise_strictly() -> None:
    log = EventLog()
    times = [log.emit("image", "tag", str(number)).time_ns for number in range(100)]
    assert times == sorted(set(times))


def test_only_the_newest_are_kept() -> None:
    log = EventLog()
    for number in range(KEPT + 5):
        log.emit("image", "tag", str(number))
    assert [event.actor_id for event in log.history()][:2] == ["5", "6"]


def test_history_includes_both_ends() -> None:
    log = EventLog()
    first, second, third = (log.emit("image", "tag", name) for name in "abc")
    assert log.history(first.time_ns, second.time_ns) == [first, second]
    assert log.history(second.time_ns) == [second, third]


def test_every_subscriber_hears_what_comes_after_it_subscribed() -> None:
    async def scene() -> list[list[str]]:
        log = EventLog()
        log.emit("image", "tag", "before")
        subscriptions = [log.subscribe(), log.subscribe()]
        log.emit("image", "tag", "a")
        log.emit("image", "tag", "b")
        log.close()
        return [[event.actor_id async for event in subscription] for subscription in subscriptions]

    assert asyncio.run(scene()) == [["a", "b"], ["a", "b"]]


def test_a_waiting_subscriber_is_woken() -> None:
    async def scene() -> str:
        log = EventLog()
        subscription = log.subscribe()
        waiting = asyncio.create_task(anext(subscription))
        await asyncio.sleep(0)
        log.emit("image", "tag", "a")
        return (await waiting).actor_id

    assert asyncio.run(scene()) == "a"


def test_a_closed_subscription_gets_nothing_more() -> None:
    async def scene() -> list[str]:
        log = EventLog()
        subscription = log.subscribe()
        subscription.close()
        log.emit("image", "tag", "a")
        return [event.actor_id async for event in subscription]

    assert asyncio.run(scene()) == []
