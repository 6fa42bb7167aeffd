"""What the engine says about itself, asked by docker-py, aiodocker and plain HTTP."""

from __future__ import annotations

import asyncio
import stat
import threading

import pytest
from harness import EngineProcess, UnixConnection, until

pytestmark = pytest.mark.root


def test_ping_says_what_a_client_needs_to_choose(engine: EngineProcess) -> None:
    status, body, headers = engine.request("GET", "/_ping")
    assert (status, body) == (200, "OK")
    assert (headers["Api-Version"], headers["Builder-Version"], headers["Ostype"]) == ("1.47", "1", "linux")


def test_ping_answers_head_without_a_body(engine: EngineProcess) -> None:
    status, body, headers = engine.request("HEAD", "/_ping")
    assert (status, body, headers["Api-Version"]) == (200, "", "1.47")


def test_the_version_is_ours(engine: EngineProcess) -> None:
    version = engine.client().version()
    assert version["Platform"]["Name"] == "Cutaway"
    assert (version["ApiVersion"], version["MinAPIVersion"]) == ("1.47", "1.24")


@pytest.mark.parametrize("version", ["1.24", "1.41", "1.47"])
def test_older_api_versions_are_spoken(engine: EngineProcess, version: str) -> None:
    assert engine.client(version=version).ping()


def test_a_version_that_is_too_new_is_refused_in_dockers_words(engine: EngineProcess) -> None:
    assert engine.request("GET", "/v1.99/info")[:2] == (
        400,
        {"message": "client version 1.99 is too new. Maximum supported API version is 1.47"},
    )


def test_an_unknown_route_is_page_not_found(engine: EngineProcess) -> None:
    assert engine.request("GET", "/v1.47/swarm")[:2] == (404, {"message": "page not found"})


def test_info_counts_and_names_what_is_there(engine: EngineProcess) -> None:
    info = engine.client().info()
    assert info["DockerRootDir"] == str(engine.root)
    assert info["OSType"] == "linux"
    assert info["Images"] >= 1
    assert (
        info["Containers"] == info["ContainersRunning"] + info["ContainersStopped"] + info["ContainersPaused"]
    )
    assert info["CgroupVersion"] in ("1", "2")


def test_the_socket_is_for_root_only(engine: EngineProcess) -> None:
    assert stat.S_IMODE(engine.socket.stat().st_mode) == 0o600


def test_disk_usage_lists_what_is_kept(engine: EngineProcess) -> None:
    usage = engine.client().df()
    assert usage["LayersSize"] > 0
    assert any("busybox:latest" in image["RepoTags"] for image in usage["Images"])


def test_events_are_heard_as_they_happen(engine: EngineProcess) -> None:
    client = engine.client()
    heard: list[str] = []
    stream = client.events(decode=True, filters={"type": "image", "event": "tag"})

    def listen() -> None:
        for event in stream:
            heard.append(event["Actor"]["Attributes"]["name"])
            if len(heard) == 2:
                return

    listener = threading.Thread(target=listen)
    listener.start()
    assert until(lambda: engine.request("GET", "/info")[1]["NEventsListener"] > 0)
    for name in ("heard:one", "heard:two"):
        client.images.get("busybox").tag(name)
    listener.join(30)
    stream.close()
    for name in ("heard:one", "heard:two"):
        client.images.remove(name)
    assert heard == ["heard:one", "heard:two"]


def test_events_of_the_past_can_be_asked_for(engine: EngineProcess) -> None:
    client = engine.client()
    begin = client.info()["SystemTime"]
    client.images.get("busybox").tag("past:one")
    client.images.remove("past:one")
    from datetime import datetime

    start = datetime.fromisoformat(begin).timestamp()
    told = list(client.events(since=start, until=start + 5, decode=True, filters={"type": "image"}))
    assert [(event["Action"], event["Actor"]["Attributes"]["name"]) for event in told] == [
        ("tag", "past:one"),
        ("untag", "past:one"),
    ]


def test_a_listener_that_leaves_is_forgotten(engine: EngineProcess) -> None:
    before = engine.request("GET", "/info")[1]["NEventsListener"]
    connection = UnixConnection(engine.socket)
    connection.request("GET", "/events")
    assert connection.getresponse().status == 200
    assert until(lambda: engine.request("GET", "/info")[1]["NEventsListener"] == before + 1)
    connection.close()
    assert until(lambda: engine.request("GET", "/info")[1]["NEventsListener"] == before)


def test_a_wrong_filter_is_refused(engine: EngineProcess) -> None:
    status, body, _ = engine.request("GET", '/events?until=1&since=0&filters={"colour":["red"]}')
    assert (status, body["message"]) == (400, "invalid filter 'colour'")


def test_aiodocker_speaks_with_it(engine: EngineProcess) -> None:
    aiodocker = pytest.importorskip("aiodocker")

    async def scene() -> str:
        client = aiodocker.Docker(url=engine.settings.address)
        try:
            version = await client.version()
            return str(version["ApiVersion"])
        finally:
            await client.close()

    assert asyncio.run(scene()) == "1.47"


def test_the_networks_that_are_always_there_are_listed(engine: EngineProcess) -> None:
    names = {network.name for network in engine.client().networks.list()}
    assert names == {"bridge", "host", "none"}


def test_there_are_no_volumes_yet(engine: EngineProcess) -> None:
    assert engine.client().volumes.list() == []


def test_doctor_tells_what_the_machine_permits(engine: EngineProcess) -> None:
    status, findings, _ = engine.request("GET", "/cutaway/doctor")
    assert status == 200
    assert all({"name", "works", "detail", "hint"} <= set(finding) for finding in findings)
