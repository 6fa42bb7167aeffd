import os
import select
import sys
import threading
from pathlib import Path

import pytest

from cutaway.bootstrap import catalogue, debian, host, process
from cutaway.errors import CutawayError, NotFoundError, NotPermittedError

DEBIAN = 'PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'
UBUNTU = 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\nUBUNTU_CODENAME=noble\n'


def release(tmp_path: Path, text: str) -> host.Release:
    path = tmp_path / "os-release"
    path.write_text(text)
    return host.Release.of_host(path)


def test_the_release_is_read_from_os_release(tmp_path: Path):
    assert release(tmp_path, DEBIAN) == host.Release("debian", "bookworm", "12")
    assert release(tmp_path, UBUNTU) == host.Release("ubuntu", "noble", "24.04")


@pytest.mark.parametrize(
    ("machine", "wanted"), [(DEBIAN, "ubuntu"), (UBUNTU, "debian"), ("ID=arch", "debian")]
)
def test_no_image_is_named_what_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str, wanted: str
):
    found = release(tmp_path, machine)
    monkeypatch.setattr(host.Release, "of_host", classmethod(lambda cls: found))
    with pytest.raises(NotPermittedError) as caught:
        debian.check_name(wanted)
    assert caught.value.message == f"cannot make {wanted} on this machine, which is {found.id}"
    other = found.id if found.id in debian.DISTRIBUTIONS else "busybox"
    assert caught.value.hint == f"make {other} instead"


def test_sources_of_both_forms_are_read_and_those_out_of_reach_left_out(tmp_path: Path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# a remark\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://one.test/debian bookworm main contrib # end\n"
        "deb-src http://one.test/debian bookworm main\n"
        "deb http://other.test/vendor stable main\n"
        "deb file:/media/disc bookworm main\n"
        "deb http://me:secret@private.test/debian bookworm main\n"
    )
    (tmp_path / "sources.list.d/x.sources").write_text(
        "# first stanza\nTypes: deb\nURIs: http://two.test/debian\nSuites: bookworm bookworm-updates\n"
        "Components: main\n non-free\nSigned-By: /k2.gpg\n"
        "\n"
        "Types: deb\nEnabled: no\nURIs: http://off.test\nSuites: bookworm\nComponents: main\n"
    )
    assert [source.line() for source in host.apt_sources("bookworm", tmp_path)] == [
        "deb [arch=amd64 signed-by=/k.gpg] http://one.test/debian bookworm main contrib",
        "deb [signed-by=/k2.gpg] http://two.test/debian bookworm main non-free",
        "deb [signed-by=/k2.gpg] http://two.test/debian bookworm-updates main non-free",
    ]


def test_a_machine_without_sources_is_told_so(tmp_path: Path):
    with pytest.raises(CutawayError, match="apt has no sources for bookworm on this machine"):
        host.apt_sources("bookworm", tmp_path)


def test_a_missing_tool_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(process, "SYSTEM_PATH", str(tmp_path))
    with pytest.raises(NotFoundError) as caught:
        process.require("apt-get")
    assert (caught.value.message, caught.value.hint) == (
        "apt-get is not installed",
        "install it with: apt-get install apt",
    )


def test_a_failing_tool_gives_its_first_error(tmp_path: Path):
    script = "echo fine; echo 'E: the reason' >&2; echo 'E: what followed' >&2; exit 3"
    with pytest.raises(CutawayError) as caught:
        process.run(["sh", "-c", script])
    assert caught.value.message == "sh failed: E: the reason"


def test_output_and_messages_are_kept_apart():
    data, lines = [], []
    process.run(["sh", "-c", "echo out; echo err >&2"], data=data.append, line=lines.append)
    assert b"".join(data) == b"out\n"
    assert lines == ["err"]


def test_a_cancelled_tool_is_ended_with_its_children():
    cancel, children = threading.Event(), []

    def ready(text: str) -> None:
        children.append(os.pidfd_open(int(text)))
        cancel.set()

    with pytest.raises(process.CancelledError):
        process.run(["sh", "-c", "sleep 1000 & echo $!; wait"], cancel=cancel, line=ready)
    ended, _, _ = select.select(children, [], [], 30)
    os.close(children[0])
    assert ended == children


def test_a_tool_that_ignores_the_polite_signal_is_killed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "GRACE", 0.1)
    cancel = threading.Event()
    script = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(1000)"
    )
    with pytest.raises(process.CancelledError):
        process.run([sys.executable, "-c", script], cancel=cancel, line=lambda text: cancel.set())


def test_the_shared_cache_can_be_named():
    assert catalogue.shared_cache({"CUTAWAY_CACHE": "/x"}) == Path("/x")
