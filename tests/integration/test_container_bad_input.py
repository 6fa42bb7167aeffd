"""Bad requests about containers get Docker's status and words, and change nothing."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from harness import EngineProcess

pytestmark = pytest.mark.root

ROUTES = [
    ("GET", "/containers/{}/json"),
    ("GET", "/containers/{}/top"),
    ("GET", "/containers/{}/logs?stdout=1"),
    ("GET", "/containers/{}/changes"),
    ("GET", "/containers/{}/export"),
    ("GET", "/containers/{}/stats?stream=0"),
    ("GET", "/containers/{}/archive?path=/"),
    ("HEAD", "/containers/{}/archive?path=/"),
    ("PUT", "/containers/{}/archive?path=/"),
    ("POST", "/containers/{}/start"),
    ("POST", "/containers/{}/stop"),
    ("POST", "/containers/{}/restart"),
    ("POST", "/containers/{}/kill"),
    ("POST", "/containers/{}/pause"),
    ("POST", "/containers/{}/unpause"),
    ("POST", "/containers/{}/rename?name=other"),
    ("POST", "/containers/{}/update"),
    ("POST", "/containers/{}/resize?h=10&w=10"),
    ("POST", "/containers/{}/attach?stream=1&stdout=1"),
    ("POST", "/containers/{}/wait"),
    ("POST", "/containers/{}/exec"),
    ("POST", "/commit?container={}"),
    ("DELETE", "/containers/{}"),
]


@pytest.fixture
def looked_at(engine: EngineProcess) -> Iterator[EngineProcess]:
    """An engine with a container that was made, and one that runs; both stay as they are."""
    client = engine.client()
    client.containers.create("busybox", "true", name="made")
    client.containers.run("busybox", "sleep 900", name="runs", detach=True)
    before = {item.name: item.attrs for item in client.containers.list(all=True)}
    yield engine
    after = {item.name: item.attrs for item in engine.client().containers.list(all=True)}
    engine.remove_containers()
    assert after == before


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_an_unknown_name_is_not_found(looked_at: EngineProcess, method: str, path: str) -> None:
    body = {"Cmd": ["true"]} if path.endswith("/exec") else None
    status, answer, _ = looked_at.request(method, path.format("nobody"), body)
    assert status == 404
    assert method == "HEAD" or answer["message"].startswith("No such container: nobody")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/containers/made/stop", None, 304, None),
        ("POST", "/containers/runs/start", None, 304, None),
        ("POST", "/containers/made/kill", None, 409, "is not running"),
        ("POST", "/containers/runs/kill?signal=NOPE", None, 400, "NOPE"),
        ("POST", "/containers/runs/kill?signal=99", None, 400, "99"),
        ("POST", "/containers/made/pause", None, 409, "is not running"),
        ("POST", "/containers/runs/unpause", None, 409, "is not paused"),
        ("GET", "/containers/made/top", None, 409, "is not running"),
        ("DELETE", "/containers/runs", None, 409, "container is running"),
        ("POST", "/containers/made/exec", {"Cmd": ["true"]}, 409, "is not running"),
        ("POST", "/containers/runs/exec", {}, 400, "No exec command specified"),
        ("POST", "/containers/made/rename?name=runs", None, 409, "already in use"),
        ("POST", "/containers/made/rename?name=", None, 400, "may be empty"),
        ("POST", "/containers/made/rename?name=-x", None, 400, "Invalid container name"),
        ("POST", "/containers/made/wait?condition=someday", None, 400, "someday"),
        ("POST", "/containers/runs/update", {"Memory": 1}, 400, "memory limit"),
        ("POST", "/containers/runs/update", {"Memory": "much"}, 400, "invalid JSON"),
        ("GET", "/containers/json?filters=nonsense", None, 400, "invalid filter"),
        ("GET", "/containers/json?limit=many", None, 400, "many"),
        ("GET", "/containers/runs/logs", None, 400, "at least one stream"),
        ("GET", "/containers/runs/logs?stdout=1&since=then", None, 400, "then"),
        ("GET", "/containers/runs/archive", None, 400, "path"),
        ("GET", "/containers/runs/archive?path=/no/such", None, 404, "Could not find the file /no/such"),
        ("POST", "/containers/create?name=runs", {"Image": "busybox"}, 409, "already in use"),
        ("POST", "/containers/create?name=x/y", {"Image": "busybox"}, 400, "Invalid container name"),
        ("POST", "/containers/create", {"Image": "no-such-image"}, 404, "No such image: no-such-image"),
        ("POST", "/containers/create", {"Image": 7}, 400, "invalid JSON"),
        ("POST", "/containers/create", ["busybox"], 400, "invalid JSON"),
        ("POST", "/containers/create", b'{"Image": "busy', 400, "invalid JSON"),
        ("POST", "/containers/create", {}, 400, "invalid reference format"),
        (
            "POST",
            "/containers/create",
            {"Image": "busybox", "HostConfig": {"Memory": 1}},
            400,
            "memory limit",
        ),
        (
            "POST",
            "/containers/create",
            {"Image": "busybox", "HostConfig": {"Binds": ["a:b:c:d"]}},
            400,
            "a:b:c:d",
        ),
        ("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"CapAdd": ["FLY"]}}, 400, "FLY"),
        ("POST", "/containers/create", {"Image": "busybox", "WorkingDir": "here"}, 400, "here"),
    ],
)
def test_a_bad_request_is_refused_in_dockers_words(
    looked_at: EngineProcess, method: str, path: str, body: Any, status: int, words: str | None
) -> None:
    seen, answer, _ = looked_at.request(method, path, body)
    assert (seen, answer) == (status, answer)
    if words is not None:
        assert words in answer["message"]


def test_an_ambiguous_id_prefix_is_refused(looked_at: EngineProcess) -> None:
    client = looked_at.client()
    made = []
    while len({one.id[0] for one in made}) == len(made):  # sixteen digits: the 17th at the latest
        made.append(client.containers.create("busybox", "true"))
    double = next(one.id[0] for one in made if [other.id[0] for other in made].count(one.id[0]) > 1)
    status, answer, _ = looked_at.request("GET", f"/containers/{double}/json")
    for one in made:
        one.remove()
    assert (status, "Multiple IDs found with provided prefix" in answer["message"]) == (400, True)


def test_a_body_that_is_cut_short_changes_nothing(looked_at: EngineProcess) -> None:
    body = json.dumps({"Image": "busybox"}).encode()
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(looked_at.socket))
        raw.sendall(
            b"POST /containers/create?name=half HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body) + 10, body)
        )
    assert looked_at.request("GET", "/containers/half/json")[0] == 404
