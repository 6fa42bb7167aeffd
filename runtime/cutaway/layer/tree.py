"""Which files each layer adds, changes and deletes, and which of them a higher layer hides.

Layers are looked at from the lowest to the highest, as overlayfs stacks them, with the tree of what is
visible so far in hand. A path that was not there is *added*, one that was is *changed*, a whiteout
*deletes*. What was visible at that path until now becomes hidden: it is still stored in its own layer, and
nobody will see it again. A layer never changes, so a stack is read once and kept.
"""

from __future__ import annotations

import functools
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cutaway.errors import NotFoundError
from cutaway.layer.diff import changes
from cutaway.layer.walk import Entry, walk

SHOWN = 200
"""Entries of one folder that are told; of more, the number."""


@dataclass(slots=True)
class Node:
    """A path in one layer. `mark` is A, C, D, or empty for the root; layers are counted from 1, the lowest.

    `size` is of the file itself, in bytes; further links to a file count nothing.
    """

    name: str = ""
    kind: str = "directory"
    mark: str = ""
    layer: int = 0
    size: int = 0
    hidden_by: int = 0
    """The layer that deletes or replaces it; 0 for none."""
    hides: int = 0
    hides_in: int = 0
    """Bytes that it hides, and in which layer."""
    children: dict[str, Node] = field(default_factory=dict)

    def below(self) -> Iterator[Node]:
        """Everything under it."""
        for child in self.children.values():
            yield child
            yield from child.below()


@dataclass(frozen=True, slots=True)
class Tally:
    """Paths that a layer adds, changes and deletes, and bytes of it that a higher layer hides."""

    added: int
    changed: int
    deleted: int
    hidden: int


def tally(root: Node) -> Tally:
    """Count one layer."""
    marks = [node.mark for node in root.below()]
    hidden = sum(node.size for node in root.below() if node.hidden_by)
    return Tally(marks.count("A"), marks.count("C"), marks.count("D"), hidden)


def listing(root: Node, path: str) -> dict[str, Any]:
    """The entries of a folder in one layer, hidden and large ones first; `more` is how many are not told.

    Raises NotFoundError when the layer does not have the folder.
    """
    folder = root
    for name in filter(None, path.split("/")):
        try:
            folder = folder.children[name]
        except KeyError:
            raise NotFoundError(f"the layer has no {path}") from None
    entries = sorted(
        map(_entry, folder.children.values()), key=lambda e: (-e["hidden"], -e["size"], e["name"])
    )
    return {"entries": entries[:SHOWN], "more": max(0, len(entries) - SHOWN)}


@functools.lru_cache(maxsize=8)
def stack(folders: tuple[Path, ...]) -> tuple[Node, ...]:
    """One tree for each layer; `folders` are the layers' `diff`, the lowest first, and do not change."""
    visible = _Visible(Node())
    return tuple(_read(folder, number, visible) for number, folder in enumerate(folders, start=1))


def written(upper: Path, lowers: Sequence[Path]) -> Node:
    """What a container wrote: the tree of its upper directory; `lowers` has the nearest first."""
    root = Node()
    for change in changes(upper, lowers):
        *folders, name = change.path.strip("/").split("/")
        parent = root
        for folder in folders:
            parent = parent.children.setdefault(folder, Node(folder))
        found = upper.joinpath(*folders, name)
        is_folder = change.kind != "D" and found.is_dir() and not found.is_symlink()
        parent.children[name] = Node(name, "directory" if is_folder else "file", change.kind, 0, change.size)
    return root


@dataclass(slots=True)
class _Visible:
    """What can be seen at a path of the layers so far: the node that it is in, and what is below it."""

    node: Node
    children: dict[str, _Visible] = field(default_factory=dict)

    def all(self) -> Iterator[Node]:
        yield self.node
        for child in self.children.values():
            yield from child.all()


def _read(folder: Path, number: int, visible: _Visible) -> Node:
    root = Node(layer=number)
    places = {"": (root, visible)}
    links: set[int] = set()
    for entry in walk(folder):
        parent, seen = places[entry.path.removesuffix(entry.name).rstrip("/")]
        node = Node(entry.name, _kind(entry), layer=number, size=_size(entry, links))
        parent.children[entry.name] = node
        places[entry.path] = (node, _show(entry, node, seen))
    return root


def _show(entry: Entry, node: Node, folder: _Visible) -> _Visible:
    """Put a path of a layer over what is visible in that folder."""
    before = folder.children.get(entry.name)
    merges = before is not None and entry.is_directory and before.node.kind == "directory"
    node.mark = "D" if entry.is_whiteout else "A" if before is None else "C"
    if before is not None and merges and not entry.is_opaque():
        return before
    if before is not None:
        _hide(before.all(), node)
        del folder.children[entry.name]
    if entry.is_whiteout:
        return _Visible(node)
    return folder.children.setdefault(entry.name, _Visible(node))


def _hide(hidden: Iterable[Node], by: Node) -> None:
    for node in hidden:
        node.hidden_by = by.layer
        by.hides += node.size
        if node.size:
            by.hides_in = node.layer


def _kind(entry: Entry) -> str:
    mode = entry.stat.st_mode
    if stat.S_ISREG(mode) or entry.is_whiteout:
        return "file"
    return "directory" if stat.S_ISDIR(mode) else "link" if stat.S_ISLNK(mode) else "special"


def _size(entry: Entry, links: set[int]) -> int:
    if entry.stat.st_nlink > 1 and not entry.is_directory:
        if entry.stat.st_ino in links:
            return 0
        links.add(entry.stat.st_ino)
    return entry.size


def _entry(node: Node) -> dict[str, Any]:
    below = list(node.below())
    return {
        "name": node.name,
        "kind": node.kind,
        "mark": node.mark,
        "size": node.size + sum(child.size for child in below),
        "count": len(below),
        "hidden": sum(child.size for child in (node, *below) if child.hidden_by),
        "hidden_by": node.hidden_by or None,
        "hides": node.hides,
        "hides_in": node.hides_in or None,
    }
