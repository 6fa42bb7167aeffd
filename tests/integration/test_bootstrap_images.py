"""Real base images from the distribution's packages, as root. The large one is made once for all workers."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cutaway.bootstrap import busybox, catalogue, host, process
from cutaway.errors import BadInputError, CutawayError
from cutaway.layer.layers import Layers
from cutaway.store.content import ContentStore
from cutaway.store.database import Database
from cutaway.store.images import Images

RELEASE = host.Release.of_host()

pytestmark = pytest.mark.skipif(
    RELEASE.id not in ("debian", "ubuntu") or not shutil.which("mmdebstrap"),
    reason="needs Debian or Ubuntu with mmdebstrap",
)


class Store:
    """An empty engine root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.content = ContentStore(folder / "content")
        self.layers = Layers(folder / "layers", self.content)
        self.images = Images(Database(folder / "engine.db"), self.content, self.layers)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache of this test run; one worker at a time, so that the system is made once."""
    folder = shared_cache / "bootstrap"
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("CUTAWAY_CACHE", str(folder))
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_busybox_is_made_and_its_shell_runs(store: Store, cache: Path):
    image = catalogue.bootstrap("busybox", store.images, store.layers, store.folder / "cache")
    assert image.names == ("busybox:latest",)
    assert image.config.config.cmd == ["sh"]
    root = store.layers.diff(image.layers[0])
    for applet in ("sh", "ls", "wget", "httpd"):
        assert (root / "bin" / applet).readlink() == Path("busybox")
    done = subprocess.run([root / "bin/busybox", "echo", "hi"], capture_output=True, check=True)
    assert done.stdout == b"hi\n"
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777


def test_busybox_made_again_keeps_its_id(store: Store, cache: Path, tmp_path: Path):
    first = catalogue.bootstrap("busybox", store.images, store.layers, store.folder / "cache")
    other = Store(tmp_path / "other")
    assert catalogue.bootstrap("busybox", other.images, other.layers, other.folder / "cache").id == first.id


def test_busybox_is_downloaded_where_the_package_is_not_installed(
    store: Store, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(busybox, "INSTALLED", ())
    image = catalogue.bootstrap("busybox", store.images, store.layers, store.folder / "cache")
    assert (store.layers.diff(image.layers[0]) / "bin/busybox").stat().st_size > 100_000


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: looks into a system that root made")
def test_the_machines_own_release_is_made_once_and_then_taken_from_the_cache(store: Store, cache: Path):
    phases: list[str] = []

    def note(phase: str, fraction: float | None) -> None:
        assert fraction is None or 0 <= fraction <= 1
        if not phases or phases[-1] != phase:
            phases.append(phase)

    arguments = (store.images, store.layers, store.folder / "cache", note)
    image = catalogue.bootstrap(RELEASE.id, *arguments)
    assert set(image.names) == {f"{RELEASE.id}:{t}" for t in ("latest", RELEASE.version, RELEASE.codename)}
    assert phases in (["download", "unpack", "import"], ["import"])
    phases.clear()
    assert catalogue.bootstrap(RELEASE.id, *arguments).id == image.id
    assert phases == ["import"]
    root = store.layers.diff(image.layers[0])
    assert (root / "etc/os-release").read_text() == Path("/etc/os-release").read_text()
    assert (root / "etc/hostname").read_text() == ""
    assert (root / "etc/resolv.conf").read_text() == ""
    assert (root / "usr/sbin/policy-rc.d").exists()
    wanted = [source.line() for source in host.apt_sources(RELEASE.codename)]
    assert (root / "etc/apt/sources.list").read_text().splitlines() == wanted
    assert not any(name.startswith((".bootstrap", "tmp")) for name in names_in(cache))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes a system as root does")
def test_an_interrupted_bootstrap_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cache, cancel = tmp_path / "private", threading.Event()
    monkeypatch.setenv("CUTAWAY_CACHE", str(cache))

    def stop_while_unpacking(phase: str, fraction: float | None) -> None:
        if phase == "unpack":
            cancel.set()

    with pytest.raises(process.CancelledError):
        catalogue.bootstrap(
            RELEASE.id, store.images, store.layers, cache, progress=stop_while_unpacking, cancel=cancel
        )
    assert names_in(cache) == set()
    assert store.images.list() == []
    assert list(store.content.walk()) == []
    mounts = Path("/proc/self/mountinfo").read_text()
    assert str(cache) not in mounts


def test_unknown_and_foreign_names_are_refused(store: Store, cache: Path):
    arguments = (store.images, store.layers, store.folder / "cache")
    with pytest.raises(BadInputError, match="nginx cannot be made here"):
        catalogue.bootstrap("nginx", *arguments)
    other = "ubuntu" if RELEASE.id == "debian" else "debian"
    with pytest.raises(CutawayError, match=f"cannot make {other} on this machine, which is {RELEASE.id}"):
        catalogue.bootstrap(other, *arguments)
