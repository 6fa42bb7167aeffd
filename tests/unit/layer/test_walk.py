"""Walking a folder in which somebody else is at work."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from cutaway.layer.tarring import TarWriter
from cutaway.layer.walk import walk


def packed(root: Path) -> dict[str, tarfile.TarInfo]:
    output = io.BytesIO()
    writer = TarWriter(output)
    for entry in walk(root):
        writer.add(entry, entry.path)
    writer.end()
    return members(output)


def members(output: io.BytesIO) -> dict[str, tarfile.TarInfo]:
    output.seek(0)
    with tarfile.open(fileobj=output) as tar:
        return {info.name: info for info in tar}


def test_a_folder_comes_before_its_entries_and_names_in_byte_order(tmp_path: Path) -> None:
    for name in ("b", "a/z", "a/Y", "a-b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [entry.path for entry in walk(tmp_path)] == ["a", "a/Y", "a/z", "a-b", "b"]


def test_a_file_that_became_a_link_after_the_look_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("mine")
    output = io.BytesIO()
    writer = TarWriter(output)
    for entry in walk(tree):
        (tree / "file").unlink()
        (tree / "file").symlink_to(secret)
        writer.add(entry, entry.path)
    writer.end()
    assert members(output) == {}


def test_a_folder_that_became_a_link_after_the_look_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host/secret").touch()
    tree = tmp_path / "tree"
    (tree / "folder").mkdir(parents=True)
    seen = []
    for entry in walk(tree):
        seen.append(entry.path)
        (tree / "folder").rmdir()
        (tree / "folder").symlink_to(tmp_path / "host")
    assert seen == ["folder"]


def test_a_pipe_put_in_a_files_place_does_not_hang_the_walk(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for entry in walk(tmp_path):
        (tmp_path / "file").unlink()
        os.mkfifo(tmp_path / "file")
        with pytest.raises(FileNotFoundError):
            entry.open()


def test_a_tree_deeper_than_any_path_is_told_and_not_cut(tmp_path: Path) -> None:
    name, home = "d" * 200, Path.cwd()
    os.chdir(tmp_path)
    try:
        for _ in range(30):
            Path(name).mkdir()
            os.chdir(name)
    finally:
        os.chdir(home)
    with pytest.raises(OSError, match="File name too long"):
        list(walk(tmp_path))
    held = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert [path for path in held if path.startswith(str(tmp_path))] == []


def test_many_levels_are_no_matter(tmp_path: Path) -> None:
    path = tmp_path
    for _ in range(500):
        path = path / "d"
        path.mkdir()
    assert sum(1 for _ in walk(tmp_path)) == 500


def test_a_second_name_becomes_a_link_and_a_socket_is_left_out(tmp_path: Path) -> None:
    import socket

    (tmp_path / "a").write_text("content")
    os.link(tmp_path / "a", tmp_path / "b")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        found = packed(tmp_path)
    assert (found["a"].size, found["b"].islnk(), found["b"].linkname) == (7, True, "a")
    assert found["pipe"].isfifo()
    assert "socket" not in found


def test_a_file_that_shrinks_while_it_is_read_is_filled_up(
    tmp_path: Path,
) -> None:
    (tmp_path / "a").write_text("long content")
    (tmp_path / "b").write_text("next")
    output = io.BytesIO()
    writer = TarWriter(output)
    for entry in walk(tmp_path):
        os.truncate(tmp_path / "a", 4)
        writer.add(entry, entry.path)
    writer.end()
    found = members(output)
    assert [found["a"].size, found["b"].size] == [12, 4]
