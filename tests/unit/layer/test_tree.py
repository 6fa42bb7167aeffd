"""Layers are folders as overlayfs wants them; making a whiteout takes no right since Linux 5.8."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from cutaway.errors import NotFoundError
from cutaway.layer.tree import Node, Tally, listing, stack, tally, written


class Folders:
    """Makes the `diff` folders of a stack, the lowest first."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.all: list[Path] = []

    def layer(self, files: dict[str, int | None]) -> Path:
        """A layer: sizes by path; None is a whiteout, a path that ends in a slash a folder."""
        folder = self._root / str(len(self.all) + 1)
        folder.mkdir()
        for name, size in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                path.mkdir(exist_ok=True)
            elif size is None:
                os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
            else:
                path.write_bytes(b"x" * size)
        self.all.append(folder)
        return folder

    def stack(self) -> tuple[Node, ...]:
        return stack(tuple(self.all))


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def marks(root: Node) -> list[str]:
    return sorted(f"{node.mark} {node.name}" for node in root.below())


def test_a_layer_adds_changes_and_deletes(folders: Folders) -> None:
    folders.layer({"etc/motd": 10, "etc/passwd": 20})
    folders.layer({"etc/motd": 5, "etc/passwd": None, "srv/app": 7})
    lower, upper = folders.stack()
    assert marks(lower) == ["A etc", "A motd", "A passwd"]
    assert marks(upper) == ["A app", "A srv", "C etc", "C motd", "D passwd"]
    assert tally(lower) == Tally(added=3, changed=0, deleted=0, hidden=30)
    assert tally(upper) == Tally(added=2, changed=2, deleted=1, hidden=0)


def test_what_a_higher_layer_deletes_or_replaces_is_hidden_by_it(folders: Folders) -> None:
    folders.layer({"a": 10, "b": 20})
    folders.layer({"a": 1})
    folders.layer({"b": None})
    entries = {entry["name"]: entry for entry in listing(folders.stack()[0], "/")["entries"]}
    assert (entries["a"]["hidden_by"], entries["b"]["hidden_by"]) == (2, 3)
    replaced = listing(folders.stack()[1], "/")["entries"][0]
    assert (replaced["hides"], replaced["hides_in"]) == (10, 1)


def test_deleting_a_folder_hides_all_that_is_in_it(folders: Folders) -> None:
    folders.layer({"var/lists/a": 10, "var/lists/deep/b": 20, "var/kept": 5})
    folders.layer({"var/lists": None})
    assert tally(folders.stack()[0]).hidden == 30
    assert tally(folders.stack()[1]) == Tally(added=0, changed=1, deleted=1, hidden=0)


def test_a_file_that_came_back_is_new(folders: Folders) -> None:
    folders.layer({"a": 1})
    folders.layer({"a": None})
    folders.layer({"a": 2})
    assert marks(folders.stack()[2]) == ["A a"]


def test_an_opaque_folder_hides_what_was_in_it(folders: Folders) -> None:
    folders.layer({"d/old": 10})
    upper = folders.layer({"d/new": 1})
    try:
        os.setxattr(upper / "d", "user.overlay.opaque", b"y")
    except OSError:
        pytest.skip("this file system keeps no user attributes")
    lower, upper_tree = folders.stack()
    assert tally(lower).hidden == 10
    assert marks(upper_tree) == ["A new", "C d"]


def test_links_to_one_file_are_counted_once(folders: Folders) -> None:
    folder = folders.layer({"bin/busybox": 100})
    os.link(folder / "bin/busybox", folder / "bin/sh")
    (entry,) = listing(folders.stack()[0], "/")["entries"]
    assert (entry["size"], entry["count"]) == (100, 2)


def test_a_folder_is_listed_with_what_is_hidden_first(folders: Folders) -> None:
    folders.layer({"d/small": 1, "d/large": 100, "d/gone": 50})
    folders.layer({"d/gone": None})
    assert [entry["name"] for entry in listing(folders.stack()[0], "/d")["entries"]] == [
        "gone",
        "large",
        "small",
    ]


def test_of_a_huge_folder_the_rest_is_a_number(folders: Folders) -> None:
    folders.layer({f"d/{number:04}": 0 for number in range(250)})
    found = listing(folders.stack()[0], "/d")
    assert (len(found["entries"]), found["more"]) == (200, 50)


def test_a_folder_that_is_not_in_the_layer_is_an_error(folders: Folders) -> None:
    folders.layer({"a": 1})
    with pytest.raises(NotFoundError, match="the layer has no /nosuch"):
        listing(folders.stack()[0], "/nosuch")


def test_what_a_container_wrote_is_told_against_its_image(folders: Folders) -> None:
    lower = folders.layer({"etc/motd": 10, "tmp/": 0, "etc/passwd": 3})
    upper = folders.layer({"etc/motd": 5, "etc/passwd": None, "note": 4})
    root = written(upper, [lower])
    assert marks(root) == ["A note", "C etc", "C motd", "D passwd"]
    assert tally(root) == Tally(added=1, changed=2, deleted=1, hidden=0)
    assert [entry["kind"] for entry in listing(root, "/")["entries"]] == ["directory", "file"]
