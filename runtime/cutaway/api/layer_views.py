"""The layers of an image and of a container, line by line of the image's history.

`from` names the image that a line came with: the smallest one here whose own history is the beginning of this
one's. So the lines of a base image carry its name, those of this build none.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cutaway.errors import NotFoundError
from cutaway.layer import tree

if TYPE_CHECKING:
    from cutaway.engine import Engine
    from cutaway.layer.tree import Node
    from cutaway.oci.image import History
    from cutaway.store.images import Image

Json = dict[str, Any]


class Stack:
    """An image's layers, and the writable one of the container when there is one. Blocking: for a thread."""

    def __init__(self, engine: Engine, image: Image, name: str = "", inspected: Json | None = None) -> None:
        self._engine = engine
        self._image = image
        self._name = name if name in image.names else next(iter(sorted(image.names)), name)
        self._container = inspected
        self._folders = tuple(engine.layers.diff(diff_id) for diff_id in image.layers)

    def tell(self) -> Json:
        """Lines from the oldest to the newest; those that changed only settings have no layer."""
        layers = [self._layer(number, node) for number, node in enumerate(tree.stack(self._folders), start=1)]
        waiting = list(reversed(layers))
        lines = []
        bases = self._bases()
        for index, entry in enumerate(_history(self._image)):
            line: Json = {"created_by": entry.created_by, "created": entry.created or ""}
            layer = None if entry.empty_layer or not waiting else waiting.pop()
            origin = next((name for length, name in bases if index < length), None)
            lines.append(line | {"from": origin, "layer": layer})
        return {
            "told": "all",
            "image": {"id": str(self._image.id), "name": self._name, "size": self._image.size},
            "container": self._told_container(),
            "writable": self._writable(),
            "lines": lines,
        }

    def files(self, layer: int | str, path: str) -> Json:
        """The entries of a folder in layer number `layer`, or in the writable one. Raises NotFoundError."""
        return tree.listing(self._root(layer), path) | {"path": path}

    def _root(self, layer: int | str) -> Node:
        if layer == "writable":
            return tree.written(self._upper(), self._folders[::-1])
        roots = tree.stack(self._folders)
        if int(layer) > len(roots):
            raise NotFoundError(f"no layer {layer}", f"the image has {len(roots)}")
        return roots[int(layer) - 1]

    def _layer(self, number: int, root: Node) -> Json:
        layer = self._image.stack[number - 1]
        folder = self._folders[number - 1].relative_to(self._engine.settings.root)
        facts = {
            "number": number,
            "diff_id": str(layer.diff_id),
            "directory": str(folder),
            "size": layer.size,
        }
        return facts | asdict(tree.tally(root))

    def _bases(self) -> list[tuple[int, str]]:
        """(length of its history, name) of every image here that this one continues, the smallest first."""
        mine = _history(self._image)
        found = []
        for other in self._engine.images.list():
            theirs = _history(other)
            if other.names and len(theirs) < len(mine) and theirs == mine[: len(theirs)]:
                found.append((len(theirs), min(other.names)))
        return sorted(found)

    def _told_container(self) -> Json | None:
        if self._container is None:
            return None
        told = self._container
        return {"id": told["Id"], "name": told["Name"].lstrip("/"), "state": told["State"]["Status"]}

    def _writable(self) -> Json | None:
        if self._container is None:
            return None
        root = tree.written(self._upper(), self._folders[::-1])
        size = sum(node.size for node in root.below())
        folder = self._upper().relative_to(self._engine.settings.root)
        return {"size": size, "directory": str(folder)} | asdict(tree.tally(root))

    def _upper(self) -> Path:
        assert self._container is not None
        return self._engine.settings.containers / str(self._container["Id"]) / "upper"


def _history(image: Image) -> list[History]:
    return list(image.config.history or [])
