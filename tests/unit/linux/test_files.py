"""Nothing that is written in a root file system leads out of it, on either way of walking."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cutaway.linux.files import RootFiles


@pytest.fixture(params=[False, True], ids=["openat2", "walk"])
def careful(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    (tmp_path / "secret").write_text("host")
    (tmp_path / "outside").mkdir()
    return tmp_path / "root"


@pytest.fixture
def files(root: Path, careful: bool) -> Iterator[RootFiles]:
    with RootFiles(root, careful_walk=careful) as opened:
        yield opened


def _no_descriptor_leaks(action: Callable[[], object]) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    action()
    assert count() == before


def test_what_is_written_can_be_read(files: RootFiles, root: Path) -> None:
    files.makedirs("a/b", 0o750)
    files.write_atomic("/a/b/file", b"text", 0o640)
    assert files.read("a/b/file") == b"text"
    assert stat.S_IMODE((root / "a/b/file").stat().st_mode) == 0o640
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o750
    assert files.listdir("a/b") == ["file"]


@pytest.mark.parametrize("path", ["../secret", "/../../secret", "a/../../secret", "../../../../etc/passwd"])
def test_dot_dot_stops_at_the_root(files: RootFiles, path: str) -> None:
    files.mkdir("a")
    with pytest.raises(FileNotFoundError):
        files.read(path)


def test_an_absolute_link_starts_at_the_root(files: RootFiles, root: Path) -> None:
    files.makedirs("etc")
    files.write_atomic("etc/passwd", b"inside")
    (root / "link").symlink_to("/etc/passwd")
    (root / "dir").symlink_to("/etc")
    assert files.read("link") == b"inside"
    assert files.read("dir/passwd") == b"inside"
    assert files.stat("dir").st_ino == (root / "etc").stat().st_ino


@pytest.mark.parametrize("target", ["/", "..", "../..", "/../../..", "../outside", "/outside"])
def test_writing_through_a_link_stays_inside(files: RootFiles, root: Path, target: str) -> None:
    (root / "link").symlink_to(target)
    try:
        files.write_atomic("link/file", b"x")
    except FileNotFoundError:
        pass
    assert sorted(path.name for path in root.parent.iterdir()) == ["outside", "root", "secret"]
    assert list((root.parent / "outside").iterdir()) == []


def test_a_link_at_the_end_is_replaced_not_followed(files: RootFiles, root: Path) -> None:
    (root / "file").symlink_to(root.parent / "secret")
    files.write_atomic("file", b"new")
    assert (root.parent / "secret").read_text() == "host"
    assert not (root / "file").is_symlink()


def test_create_refuses_a_link_to_nothing(files: RootFiles, root: Path) -> None:
    (root / "file").symlink_to("nothing")
    with pytest.raises(FileExistsError):
        files.create("file")


def test_opening_to_create_through_a_link_to_nothing_makes_the_target_inside(
    files: RootFiles, root: Path
) -> None:
    (root / "file").symlink_to("/made")
    os.close(files.open("file", os.O_WRONLY | os.O_CREAT, 0o644))
    assert (root / "made").exists()


def test_attributes_of_a_link_are_its_own(files: RootFiles, root: Path) -> None:
    outside = root.parent / "secret"
    before = outside.stat()
    (root / "link").symlink_to(outside)
    files.utimes("link", 1, 2)
    assert files.lstat("link").st_mtime_ns == 2
    assert outside.stat().st_mtime_ns == before.st_mtime_ns
    with pytest.raises(OSError, match="no permissions"):
        files.chmod("link", 0o777)
    assert outside.stat().st_mode == before.st_mode


def test_a_loop_of_links_is_an_error(files: RootFiles, root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"):
        files.read("a")


def test_a_file_on_the_way_is_not_a_directory(files: RootFiles) -> None:
    files.write_atomic("file", b"")
    with pytest.raises(NotADirectoryError):
        files.read("file/more")
    with pytest.raises(NotADirectoryError):
        files.open_directory("file")


def test_a_named_pipe_does_not_stop_the_reader(files: RootFiles) -> None:
    files.mknod("pipe", stat.S_IFIFO | 0o644)
    with pytest.raises(OSError, match="not a regular file"):
        files.read("pipe")


def test_makedirs_does_not_mind_links_to_directories(files: RootFiles, root: Path) -> None:
    files.mkdir("real")
    (root / "link").symlink_to("/real")
    files.makedirs("link/a/b")
    assert (root / "real/a/b").is_dir()
    (root / "nowhere").symlink_to("/absent")
    with pytest.raises(FileNotFoundError):
        files.makedirs("nowhere/a")


def test_rmtree_removes_links_and_not_what_they_point_to(files: RootFiles, root: Path) -> None:
    files.makedirs("tree/inner")
    (root / "tree/link").symlink_to(root.parent)
    (root / "tree/inner/link").symlink_to("/")
    files.rmtree("tree")
    files.rmtree("tree")
    assert files.listdir() == []
    assert (root.parent / "secret").exists()


def test_rmtree_of_the_root_empties_it(files: RootFiles, root: Path) -> None:
    files.makedirs("a/b")
    files.rmtree("/")
    assert list(root.iterdir()) == []


def test_a_tree_deeper_than_any_path_can_be_removed(files: RootFiles, root: Path) -> None:
    fd = os.open(root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deep", dir_fd=fd)
        inner = os.open("deep", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    files.rmtree("deep")
    assert files.listdir() == []


def test_hard_links_and_names_stay_inside(files: RootFiles, root: Path) -> None:
    (root / "link").symlink_to(root.parent / "secret")
    files.link("link", "copy")
    assert files.readlink("copy") == str(root.parent / "secret")
    files.rename("copy", "/../moved")
    assert files.listdir() == ["link", "moved"]


def test_extended_attributes_are_kept(files: RootFiles, root: Path) -> None:
    files.write_atomic("file", b"")
    try:
        files.set_xattr("file", "user.note", b"value")
    except OSError:
        pytest.skip("this file system has no user attributes")
    assert files.get_xattrs("file")["user.note"] == b"value"


def test_copy_in_streams_and_replaces(files: RootFiles, root: Path) -> None:
    (root / "file").symlink_to(root.parent / "secret")
    assert files.copy_in(io.BytesIO(b"x" * 3_000_000), "file", 0o600, os.getuid(), os.getgid()) == 3_000_000
    assert (root / "file").stat().st_size == 3_000_000
    assert (root.parent / "secret").read_text() == "host"


def test_walk_lists_parents_first_and_enters_no_link(files: RootFiles, root: Path) -> None:
    files.makedirs("b/c")
    files.write_atomic("b/c/file", b"")
    (root / "a").symlink_to("b")
    assert [path for path, _ in files.walk()] == ["a", "b", "b/c", "b/c/file"]
    assert [path for path, _ in files.walk("/b")] == ["b/c", "b/c/file"]


def test_no_descriptor_is_left_open(files: RootFiles, root: Path) -> None:
    files.makedirs("a/b")
    (root / "link").symlink_to("a/../nothing")

    def use() -> None:
        files.write_atomic("a/b/file", b"x")
        files.read("a/b/file")
        for path in ("link", "link/x", "a/b/file/x", "absent/x"):
            with pytest.raises(OSError):  # noqa: PT011
                files.read(path)
        list(files.walk())

    _no_descriptor_leaks(use)


def test_a_directory_that_is_swapped_for_a_link_does_not_lead_out(files: RootFiles, root: Path) -> None:
    (root / "dir").mkdir()
    (root / "spare").symlink_to(root.parent / "outside")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            (root / "dir").rename(root / "tmp")
            (root / "spare").rename(root / "dir")
            (root / "dir").rename(root / "spare")
            (root / "tmp").rename(root / "dir")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for number in range(1500):
            try:
                files.write_atomic(f"dir/{number}", b"")
                files.mkdir(f"dir/../dir/d{number}")
            except OSError:
                continue
    finally:
        done.set()
        thread.join()
    assert list((root.parent / "outside").iterdir()) == []
    assert sorted(path.name for path in root.parent.iterdir()) == ["outside", "root", "secret"]


_NAMES = st.sampled_from(["a", "b", "c", "..", ".", "/", ""])
_PATHS = st.lists(_NAMES, min_size=1, max_size=6).map("/".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    links=st.lists(st.tuples(st.sampled_from(["a", "b", "c", "a/a", "a/b"]), _PATHS), max_size=5), path=_PATHS
)
def test_both_ways_of_walking_agree(
    tmp_path_factory: pytest.TempPathFactory, links: list[tuple[str, str]], path: str
) -> None:
    root = tmp_path_factory.mktemp("agree")
    (root / "a").mkdir()
    for name, target in links:
        try:
            (root / name).symlink_to(target or ".")
        except OSError:
            continue
    answers = []
    for careful in (False, True):
        with RootFiles(root, careful_walk=careful) as files:
            try:
                answers.append(str(files.stat(path or ".").st_ino))
            except OSError as error:
                answers.append(os.strerror(error.errno or 0))
    assert answers[0] == answers[1]
