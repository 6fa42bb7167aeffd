"""cp, export, diff and commit: by docker-py, the stock client and `cutaway`, of tame and of hostile roots."""

from __future__ import annotations

import contextlib
import io
import shlex
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker.errors
import pytest
from harness import EngineProcess

pytestmark = pytest.mark.root

Run = Callable[..., subprocess.CompletedProcess[str]]


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(params=["running", "stopped"])
def made(request: pytest.FixtureRequest, client: Any) -> Any:
    """A container with a small tree in /t, once running and once not."""
    script = "mkdir -p /t/d; echo one >/t/a; echo two >/t/d/b; ln -s /t/a /t/link; ln -s /t/d /t/dlink"
    after = "; exec sleep 1000" if request.param == "running" else ""
    container = client.containers.run(
        "busybox", ["sh", "-c", script + "; touch /t/ready" + after], detach=True
    )
    if after:
        while container.exec_run(["test", "-e", "/t/ready"]).exit_code:
            pass
    else:
        container.wait()
    return container


def unpacked(pieces: Any) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        return {info.name: info for info in tar}


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return output.getvalue()


def member(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


# Copying with docker-py


def test_the_header_tells_what_is_at_the_path(made: Any) -> None:
    _, found = made.get_archive("/t/link")
    assert (found["name"], found["linkTarget"]) == ("link", "/t/a")
    assert found["mode"] & 1 << 27
    _, found = made.get_archive("/t")
    assert (found["name"], found["mode"]) == ("t", 1 << 31 | 0o755)
    _, found = made.get_archive("/t/a")
    assert (found["name"], found["size"], found["mode"]) == ("a", 4, 0o644)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/t/a", {"a"}),
        ("/t/d", {"d", "d/b"}),
        ("/t/d/", {"d", "d/b"}),
        ("/t/d/.", {".", "./b"}),
        ("t/d", {"d", "d/b"}),
        ("/t/link", {"link"}),
        ("/t/dlink/", {"dlink", "dlink/b"}),
        ("/../../t/d/b", {"b"}),
    ],
)
def test_a_path_is_packed_under_its_last_name(made: Any, path: str, names: set[str]) -> None:
    assert set(unpacked(made.get_archive(path)[0])) == names


def test_a_tar_is_unpacked_in_a_folder_and_its_owners_are_kept(made: Any) -> None:
    made.put_archive("/t/dlink", tar_of(member("new/file", b"hello", uid=7, gid=8, mode=0o640)))
    found = unpacked(made.get_archive("/t/d/new/file")[0])["file"]
    assert (found.uid, found.gid, found.mode, found.size) == (7, 8, 0o640, 5)


def test_what_cannot_be_copied_is_refused_as_docker_does(made: Any) -> None:
    def status(method: str, query: str, body: Any = None) -> tuple[int, str]:
        url = f"http+docker://localhost/v1.47/containers/{made.id}/archive?{query}"
        answer = made.client.api.request(method, url, data=body)
        text = answer.json().get("message", "") if method != "HEAD" and answer.content else ""
        return answer.status_code, text.split("\n")[0]

    tar = tar_of(member("t/d", b"file"))
    assert status("GET", "path=/nowhere") == (
        404,
        f"Could not find the file /nowhere in container {made.name}",
    )
    assert status("HEAD", "path=/nowhere")[0] == 404
    assert status("GET", "")[0] == 400
    assert status("PUT", "path=/nowhere", tar)[0] == 404
    assert status("PUT", "path=/t/a", tar) == (400, "extraction point is not a directory")
    refused = status("PUT", "path=/&noOverwriteDirNonDir=1", tar)
    assert refused == (400, 'cannot overwrite directory "/t/d" with non-directory')
    assert status("PUT", "path=/t", b"no tar at all" * 100)[0] == 400
    assert status("PUT", "path=/t", tar_of(member("big", b"x" * 9000))[:5000])[0] == 400
    assert set(unpacked(made.get_archive("/t/d")[0])) == {"d", "d/b"}


def test_special_files_and_second_names_are_copied_as_such(client: Any) -> None:
    script = "cd /t && mkfifo pipe && echo x > one && ln one two && mknod zero c 1 5 && chmod 4755 one"
    container = client.containers.run("busybox", ["sh", "-c", "mkdir /t; " + script], detach=True)
    container.wait()
    found = unpacked(container.get_archive("/t")[0])
    assert [found["t/pipe"].isfifo(), found["t/zero"].ischr(), found["t/two"].islnk()] == [True] * 3
    assert found["t/one"].mode == 0o4755
    other = client.containers.create(
        "busybox", ["sh", "-c", "test -p /t/pipe -a -c /t/zero && stat -c %h /t/two"]
    )
    other.put_archive("/", container.get_archive("/t")[0])
    other.start()
    assert (other.wait()["StatusCode"], other.logs()) == (0, b"2\n")


def test_a_sparse_file_of_a_gigabyte_costs_no_memory(client: Any, engine: EngineProcess) -> None:
    script = ["truncate", "-s", "1G", "/hole"]
    container = client.containers.run("busybox", script, detach=True)
    container.wait()
    count = sum(len(piece) for piece in container.get_archive("/hole")[0])
    assert count == (1 << 30) + 512 + 1024
    assert engine.process
    peak = next(
        line
        for line in Path(f"/proc/{engine.process.pid}/status").read_text().splitlines()
        if "VmHWM" in line
    )
    assert int(peak.split()[1]) < 300_000


def test_volumes_are_copied_to_and_read_only_ones_are_refused(client: Any, engine: EngineProcess) -> None:
    volumes = {"vfiles": {"bind": "/v"}, "vread": {"bind": "/r", "mode": "ro"}}
    container = client.containers.create("busybox", ["cat", "/v/f"], volumes=volumes)
    container.put_archive("/v", tar_of(member("f", b"in the volume")))
    with pytest.raises(docker.errors.APIError, match="mounted volume is marked read-only") as refused:
        container.put_archive("/r", tar_of(member("f", b"x")))
    assert refused.value.status_code == 403
    container.start()
    container.wait()
    assert container.logs() == b"in the volume"
    locked = client.containers.create("busybox", read_only=True)
    with pytest.raises(docker.errors.APIError, match="container rootfs is marked read-only"):
        locked.put_archive("/", tar_of(member("f", b"x")))
    container.remove(v=True)
    for name in volumes:
        shutil.rmtree(engine.settings.root / "volumes" / name)


# The commands


def test_cp_does_as_cp_r_does(cli: Run, made: Any, tmp_path: Path) -> None:
    name = made.name
    ok(cli("cp", f"{name}:/t/a", f"{tmp_path}/copied"))
    assert (tmp_path / "copied").read_text() == "one\n"
    ok(cli("cp", f"{name}:/t/a", str(tmp_path)))
    assert (tmp_path / "a").read_text() == "one\n"
    ok(cli("cp", f"{name}:/t/d", str(tmp_path)))
    ok(cli("cp", f"{name}:/t/d", f"{tmp_path}/fresh"))
    ok(cli("cp", f"{name}:/t/d/.", str(tmp_path)))
    for place in ("d/b", "fresh/b", "b"):
        assert (tmp_path / place).read_text() == "two\n"
    ok(cli("cp", f"{name}:/t/link", f"{tmp_path}/l"))
    assert (tmp_path / "l").readlink() == Path("/t/a")
    ok(cli("cp", "-L", f"{name}:/t/link", f"{tmp_path}/followed"))
    assert (tmp_path / "followed").read_text() == "one\n"


def test_cp_into_a_container_and_through_streams(
    engine: EngineProcess, cli: Run, made: Any, tmp_path: Path
) -> None:
    name = made.name
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("from here")
    ok(cli("cp", f"{tmp_path}/d", f"{name}:/t"))
    ok(cli("cp", f"{tmp_path}/d/f", f"{name}:/t/renamed"))
    ok(cli("cp", f"{tmp_path}/d/.", f"{name}:/t/dlink"))
    found = {name for path in ("/t",) for name in unpacked(made.get_archive(path)[0])}
    assert {"t/d/f", "t/renamed", "t/d/b"} <= found
    whole = subprocess.run(
        f"{shlex.join(cli('version').args[:-1])} cp {name}:/t/d - | tar -t",
        shell=True,
        env=engine.env,
        capture_output=True,
        text=True,
    )
    assert whole.returncode == 0


@pytest.mark.parametrize(
    ("source", "goal", "message"),
    [
        ("nosuch:/a", ".", "No such container: nosuch"),
        ("{c}:/nowhere", ".", "Could not find the file /nowhere in container"),
        ("{here}/nothing", "{c}:/", "no such file or directory"),
        ("{c}:/t", "{c}:/u", "copying between containers is not supported"),
        ("a", "b", "must specify at least one container source"),
        ("{c}:/t/a", "{here}/no/such/f", "invalid output path"),
        ("{c}:/t/d", "{here}/file", "cannot copy directory"),
        ("{here}", "{c}:/t/a", "cannot copy directory"),
    ],
)
def test_cp_refuses_what_cannot_be(
    cli: Run, client: Any, tmp_path: Path, source: str, goal: str, message: str
) -> None:
    container = client.containers.run("busybox", ["sh", "-c", "mkdir -p /t/d; echo >/t/a"], detach=True)
    container.wait()
    (tmp_path / "file").write_text("kept")
    words = (word.format(c=container.name, here=tmp_path) for word in (source, goal))
    done = cli("cp", *words)
    assert done.returncode == 1
    assert message.lower() in done.stderr.lower()
    assert (tmp_path / "file").read_text() == "kept"


def test_what_was_half_copied_in_is_told(cli: Run, made: Any, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("x")
    done = cli("cp", f"{tmp_path}/d/f", f"{made.name}:/t/a/below")
    assert done.returncode == 1
    assert done.stderr


# Export, diff, commit


def test_export_is_the_whole_root_without_what_is_mounted(made: Any) -> None:
    found = unpacked(made.export())
    assert {"t/a", "bin/busybox", "etc/hosts"} <= set(found)
    assert not [name for name in found if name.startswith(("proc/", "sys/"))]
    assert not [name for name in found if name.startswith("/") or ".." in name]


def test_an_export_imported_is_the_same_tree(client: Any, cli: Run, made: Any, tmp_path: Path) -> None:
    ok(cli("export", "-o", f"{tmp_path}/root.tar", made.name))
    ok(cli("import", "-c", "CMD cat /t/d/b", f"{tmp_path}/root.tar", "again"))
    assert ok(cli("run", "--rm", "again")) == "two\n"
    ok(cli("rmi", "again"))


def test_commit_keeps_only_the_difference(client: Any, cli: Run, made: Any) -> None:
    ok(cli("commit", "-m", "said", "-a", "me", "-c", "CMD cat /t/a", made.name, "kept:1"))
    image = client.images.get("kept:1")
    base = client.images.get("busybox")
    assert image.attrs["RootFS"]["Layers"][:-1] == base.attrs["RootFS"]["Layers"]
    assert (image.attrs["Author"], image.attrs["Comment"]) == ("me", "said")
    assert image.attrs["Config"]["Cmd"] == ["/bin/sh", "-c", "cat /t/a"]
    assert ok(cli("run", "--rm", "kept:1")) == "one\n"
    assert 0 < image.history()[0]["Size"] < 100
    ok(cli("rmi", "kept:1"))


def test_a_committed_deletion_stays_deleted_and_a_new_folder_hides_the_old_one(client: Any) -> None:
    first = client.containers.run(
        "busybox", ["sh", "-c", "mkdir -p /d/old /e; touch /d/old/x /gone /e/kept"], detach=True
    )
    first.wait()
    first.commit("marks", "1")
    script = "rm /gone; rm -r /d; mkdir /d; touch /d/new /e/more; chmod 700 /e"
    second = client.containers.run("marks:1", ["sh", "-c", script], detach=True)
    second.wait()
    assert {change["Path"]: change["Kind"] for change in second.diff()} == {
        "/gone": 2,
        "/d": 0,
        "/d/new": 1,
        "/d/old": 2,
        "/e": 0,
        "/e/more": 1,
    }
    second.commit("marks", "2")
    seen = client.containers.run(
        "marks:2", ["sh", "-c", "ls -d /gone /d/* /e/* 2>&1; stat -c %a /e"], remove=True
    )
    assert seen.split(b"\n") == [
        b"ls: /gone: No such file or directory",
        b"/d/new",
        b"/e/kept",
        b"/e/more",
        b"700",
        b"",
    ]
    saved = unpacked(client.images.get("marks:2").save())
    assert saved
    first.remove(), second.remove()
    client.images.remove("marks:2")
    client.images.remove("marks:1")


def test_nothing_changed_commits_to_the_same_layers(client: Any) -> None:
    container = client.containers.create("busybox", ["true"])
    image = container.commit("same")
    assert image.attrs["RootFS"] == client.images.get("busybox").attrs["RootFS"]
    client.images.remove("same")


def test_a_commit_that_cannot_be_changes_nothing(cli: Run, client: Any) -> None:
    container = client.containers.create("busybox", ["true"], name="cc")
    before = len(client.images.list(all=True))
    for words in (("nosuch",), ("-c", "FROM x", "cc"), ("-c", "NONSENSE", "cc"), ("cc", "Bad Name")):
        done = cli("commit", *words)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), words
    assert len(client.images.list(all=True)) == before
    container.remove()


# Hostile roots


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("of the host")
    return tmp_path / "secret"


def hostile(client: Any, script: str, *, running: bool) -> Any:
    script += "; touch /ready; exec sleep 1000" if running else ""
    container = client.containers.run("busybox", ["sh", "-c", script], detach=True, privileged=True)
    if running:
        while container.exec_run(["test", "-e", "/ready"]).exit_code:
            pass
    else:
        container.wait()
    return container


@pytest.mark.parametrize("running", [True, False])
def test_links_lead_nowhere_but_into_the_container(client: Any, secret: Path, running: bool) -> None:
    above = "../" * 20
    script = f"ln -s {secret} /abs; ln -s {above}{secret} /rel; ln -s /proc/1/root /root1; ln -s {above} /up"
    container = hostile(client, script, running=running)
    for path in ("/abs/", "/rel/", f"/up{secret}", f"/root1{secret}", f"/up/up{secret}"):
        with pytest.raises(docker.errors.APIError) as refused:
            container.get_archive(path)
        assert refused.value.status_code in (400, 404), path
    for folder in ("/up", "/root1"):
        with contextlib.suppress(docker.errors.APIError):
            container.put_archive(folder, tar_of(member(str(secret).lstrip("/"), b"overwritten")))
    assert secret.read_text() == "of the host"


def test_a_tar_with_names_and_links_that_lead_out_stays_inside(client: Any, secret: Path) -> None:
    container = client.containers.create("busybox", ["true"])
    above = "../" * 20 + str(secret).lstrip("/")
    attack = [
        member("out", type=tarfile.SYMTYPE, linkname=str(secret.parent)),
        member("out/secret", b"overwritten"),
        member("hard", type=tarfile.LNKTYPE, linkname=above),
        member(above, b"overwritten"),
    ]
    for one in attack[1:]:
        with contextlib.suppress(docker.errors.APIError):
            container.put_archive("/", tar_of(attack[0], one))
    assert secret.read_text() == "of the host"
    assert secret.stat().st_nlink == 1


def test_a_pipe_and_a_device_are_copied_as_such_and_never_opened(client: Any, tmp_path: Path) -> None:
    container = hostile(client, "mkdir /t; mkfifo /t/pipe; mknod /t/disk b 254 0", running=True)
    found = unpacked(container.get_archive("/t")[0])
    assert (found["t/pipe"].isfifo(), found["t/disk"].isblk()) == (True, True)
    assert unpacked(container.get_archive("/t/pipe")[0])["pipe"].isfifo()
    assert {"/t/pipe", "/t/disk"} <= {change["Path"] for change in container.diff()}
    container.commit("pipes")
    client.images.remove("pipes")


def test_links_swapped_under_way_show_nothing_of_the_host(client: Any, tmp_path: Path) -> None:
    """A container that swaps a folder and a link for as long as we copy."""
    script = (
        "mkdir -p /t/x; ln -s /etc /t/link; echo mine >/t/x/shadow;"
        "while :; do mv /t/x /t/y; ln -s /etc /t/x; rm /t/x; mv /t/y /t/x; done"
    )
    container = client.containers.run("busybox", ["sh", "-c", script], detach=True)
    shadow = Path("/etc/shadow").read_bytes()
    for _ in range(30):
        with tarfile.open(fileobj=io.BytesIO(b"".join(container.get_archive("/t")[0]))) as tar:
            for info in tar:
                if info.isfile():
                    file = tar.extractfile(info)
                    assert file
                    assert file.read() != shadow
        for piece in container.export():
            assert shadow not in piece
    container.remove(force=True)


def test_a_client_that_leaves_in_the_middle_holds_up_nobody(client: Any, engine: EngineProcess) -> None:
    container = client.containers.run("busybox", ["truncate", "-s", "200M", "/hole"], detach=True)
    container.wait()
    for _ in range(3):
        pieces = container.get_archive("/hole")[0]
        next(iter(pieces))
        pieces.close()
    container.start()  # the lock that cp held is free again
    container.wait()
    assert not [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if container.id in line
    ]


def test_many_copy_at_once(client: Any, engine: EngineProcess) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                name, data = f"f{number}-{turn}", str(number).encode() * 1000
                container.put_archive("/tmp", tar_of(member(name, data)))
                assert unpacked(container.get_archive(f"/tmp/{name}")[0])[name].size == len(data)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    container.remove(force=True)
