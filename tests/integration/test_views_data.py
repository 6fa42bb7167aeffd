"""What the engine tells the views, against what the kernel and the disk say themselves."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import EngineProcess, until

pytestmark = pytest.mark.root

DOCKERFILE = b"""\
FROM busybox
RUN mkdir /srv && echo one > /srv/card && head -c 5000 /dev/zero > /srv/big
RUN rm /srv/big && echo two > /srv/card
CMD ["cat", "/srv/card"]
"""


@pytest.fixture(scope="module")
def image(engine: EngineProcess) -> Iterator[str]:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(DOCKERFILE)
        tar.addfile(member, io.BytesIO(DOCKERFILE))
    status, answer, _ = engine.request("POST", "/build?t=lab/views", context.getvalue())
    assert status == 200, answer
    yield "lab/views"
    engine.request("DELETE", "/images/lab/views?force=1")


@pytest.fixture
def container(engine: EngineProcess) -> Iterator[Any]:
    """Makes containers that sleep; removes them."""
    client = engine.client()
    made = []

    def make(name: str, image: str = "busybox", command: str = "sleep 1000", **options: Any) -> Any:
        made.append(client.containers.run(image, command, name=name, detach=True, **options))
        made[-1].reload()
        return made[-1]

    yield make
    for found in made:
        found.remove(force=True)


def get(engine: EngineProcess, route: str) -> Any:
    status, answer, _ = engine.request("GET", route)
    assert status == 200, answer
    return answer


def inode(pid: int, kind: str) -> int:
    return Path(f"/proc/{pid}/ns/{kind}").stat().st_ino


def test_each_line_of_a_dockerfile_has_its_layer_or_none(engine: EngineProcess, image: str) -> None:
    lines = get(engine, f"/cutaway/images/{image}/layers")["lines"]
    assert [bool(line["layer"]) for line in lines] == [True, False, True, True, False]
    made = [line["layer"] for line in lines if line["layer"] and not line["from"]]
    assert [(layer["added"], layer["changed"], layer["deleted"]) for layer in made] == [(3, 0, 0), (0, 2, 1)]
    assert [layer["hidden"] for layer in made] == [5004, 0]


def test_a_layer_of_the_base_image_carries_its_name(engine: EngineProcess, image: str) -> None:
    lines = get(engine, f"/cutaway/images/{image}/layers")["lines"]
    assert [line["from"] for line in lines] == ["busybox:latest"] * 2 + [None] * 3
    assert all(line["from"] is None for line in get(engine, "/cutaway/images/busybox/layers")["lines"])


def test_a_layers_folder_is_where_it_says(engine: EngineProcess, image: str) -> None:
    for line in get(engine, f"/cutaway/images/{image}/layers")["lines"]:
        if line["layer"]:
            assert (engine.root / line["layer"]["directory"]).is_dir()


def test_the_files_of_a_layer_say_what_hides_them(engine: EngineProcess, image: str) -> None:
    entries = get(engine, f"/cutaway/images/{image}/layers/2/files?path=/srv")["entries"]
    assert {entry["name"]: (entry["mark"], entry["hidden_by"]) for entry in entries} == {
        "big": ("A", 3),
        "card": ("A", 3),
    }


@pytest.mark.parametrize(
    ("route", "status", "message"),
    [
        ("/cutaway/images/nosuch/layers", 404, "No such image: nosuch:latest"),
        ("/cutaway/images/busybox/layers/9/files", 404, "no layer 9"),
        ("/cutaway/images/busybox/layers/x/files", 400, "layer x is not a number"),
        ("/cutaway/images/busybox/layers/1/files?path=/nosuch", 404, "the layer has no /nosuch"),
        ("/cutaway/images/busybox/layers/1/files?path=/../../etc", 404, "the layer has no /../../etc"),
        ("/cutaway/containers/nosuch/layers", 404, "No such container: nosuch"),
        ("/cutaway/namespaces?containers=nosuch", 404, "No such container: nosuch"),
    ],
)
def test_a_wrong_question_gets_a_clear_answer(
    engine: EngineProcess, route: str, status: int, message: str
) -> None:
    answer = engine.request("GET", route)
    assert (answer[0], answer[1]["message"]) == (status, message)


def test_the_writable_layer_holds_what_the_container_did(
    engine: EngineProcess, image: str, container: Any
) -> None:
    script = "echo hello > /note; echo three > /srv/card; rm /etc/passwd 2>/dev/null; sleep 1000"
    made = container("scribe", image, ["sh", "-c", script])
    assert until(lambda: get(engine, f"/cutaway/containers/{made.id}/layers")["writable"]["deleted"] or True)
    assert until(lambda: get(engine, f"/cutaway/containers/{made.id}/layers")["writable"]["changed"] >= 2)
    told = get(engine, f"/cutaway/containers/{made.id}/layers")
    assert told["container"] == {"id": made.id, "name": "scribe", "state": "running"}
    assert told["image"]["name"].startswith("lab/views")
    entries = get(engine, f"/cutaway/containers/{made.id}/layers/writable/files?path=/")["entries"]
    assert ("note", "A") in {(entry["name"], entry["mark"]) for entry in entries}


def test_the_inodes_are_those_of_proc(engine: EngineProcess, container: Any) -> None:
    made = container("lone", hostname="box")
    host, row = get(engine, "/cutaway/namespaces?containers=lone")["rows"]
    pid = made.attrs["State"]["Pid"]
    assert {kind: cell["inode"] for kind, cell in row["namespaces"].items()} == {
        kind: inode(pid, kind) for kind in row["namespaces"]
    }
    assert host["namespaces"]["pid"]["inode"] == inode(os.getpid(), "pid")
    assert row["namespaces"]["uts"]["content"] == {"text": "box"}
    assert row["namespaces"]["mnt"]["content"] == {"word": "layers", "n": 2}
    address = made.attrs["NetworkSettings"]["IPAddress"]
    assert row["namespaces"]["net"]["content"] == {"text": f"eth0 {address}"}


def test_a_process_has_two_numbers_and_exec_adds_one(engine: EngineProcess, container: Any) -> None:
    made = container("busy")
    made.exec_run("sleep 2000", detach=True)
    of_busy = [
        p for p in get(engine, "/cutaway/namespaces?containers=busy")["processes"] if p["of"] == "busy"
    ]
    assert sorted(process["command"] for process in of_busy) == ["sleep 1000", "sleep 2000"]
    first = next(process for process in of_busy if process["command"] == "sleep 1000")
    assert (first["pid"], first["inner"]) == (made.attrs["State"]["Pid"], 1)


def test_a_namespace_that_is_the_hosts_has_the_hosts_inode(engine: EngineProcess, container: Any) -> None:
    container("open", network_mode="host")
    host, row = get(engine, "/cutaway/namespaces?containers=open")["rows"]
    assert row["namespaces"]["net"]["inode"] == host["namespaces"]["net"]["inode"]
    assert row["namespaces"]["pid"]["inode"] != host["namespaces"]["pid"]["inode"]


def test_without_a_name_every_running_container_is_told(engine: EngineProcess, container: Any) -> None:
    container("first")
    container("second")
    container("ended", command="true").wait()
    names = [row["name"] for row in get(engine, "/cutaway/namespaces")["rows"][1:]]
    assert names == ["first", "second"]


def test_a_container_that_has_ended_is_in_no_namespace(engine: EngineProcess, container: Any) -> None:
    made = container("ended", command="true")
    made.wait()
    row = get(engine, "/cutaway/namespaces?containers=ended")["rows"][1]
    assert (row["state"], row["namespaces"]) == ("exited", {})


def test_as_root_the_user_ids_are_the_hosts(engine: EngineProcess, container: Any) -> None:
    container("ids")
    (map_,) = get(engine, "/cutaway/namespaces?containers=ids")["uid_maps"]
    assert map_["identity"]
    assert map_["ranges"] == [list(map(int, Path("/proc/self/uid_map").read_text().split()))]
