"""The build cache: has this very step been done before, and if not, what is different?

A step's result depends on four things: the image it starts from, what the instruction says after variables
are filled in, the content of the files it copies, and the build arguments that it can see. Their digest is
the step's key. The same key again means the same result, so the image made then is taken.

For the question *why not*, a step is remembered under coarser keys as well: its parent alone, and its parent
with its instruction. The coarsest one that is unknown names the reason. Which files and arguments went in
lies beside, as JSON in a cache folder that may be deleted at any time: then the reason is only less exact.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cutaway.errors import NotFoundError
from cutaway.store.database import Database
from cutaway.store.images import Image, Images

MOST_FILES = 5_000  # beyond, which file changed is not remembered, only that one did
NAMED = 3  # changed files that a reason names


@dataclasses.dataclass(frozen=True, slots=True)
class Inputs:
    """All that a step's result depends on. `files`: path -> digest; `arguments`: ARGs as `name=value`."""

    parent: str
    instruction: str
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    arguments: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What the result is known by."""
        return _digest("step", self.parent, self.instruction, sorted(self.files.items()), self.arguments)

    @property
    def same_text(self) -> str:
        """Known when the instruction was done on this parent, whatever the files and arguments."""
        return _digest("text", self.parent, self.instruction)

    @property
    def same_parent(self) -> str:
        """Known when anything was done on this parent."""
        return _digest("parent", self.parent)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """`image` is the earlier result, or None; `reason` says in a few words why it is used, or why not."""

    image: Image | None
    reason: str


class BuildCache:
    """Steps that were done, in the database; their files and arguments below `folder`. Blocking."""

    def __init__(self, database: Database, images: Images, folder: Path) -> None:
        self._database = database
        self._images = images
        self._folder = folder

    def look_up(self, inputs: Inputs) -> Verdict:
        """Whether the step was done before, and why not."""
        image = self._known(inputs.key)
        if image is not None:
            return Verdict(image, "same parent, instruction and files")
        if self._known(inputs.same_text) is not None:
            return Verdict(None, self._difference(inputs))
        if self._known(inputs.same_parent) is not None:
            return Verdict(None, "the instruction is new or changed")
        return Verdict(None, "nothing was built on this parent before")

    def remember(self, inputs: Inputs, image: Image) -> None:
        """Keep the step's result for the next build."""
        with self._database.transaction():
            for key in (inputs.key, inputs.same_text, inputs.same_parent):
                self._database.put_cache(key, image.id)
        files = dict(inputs.files) if len(inputs.files) <= MOST_FILES else {}
        if files or inputs.arguments:
            self._write(inputs.same_text, {"files": files, "arguments": list(inputs.arguments)})

    def _known(self, key: str) -> Image | None:
        image_id = self._database.get_cache(key)
        if image_id is None:
            return None
        try:
            return self._images.get(image_id)
        except NotFoundError:
            return None

    def _difference(self, inputs: Inputs) -> str:
        before = self._read(inputs.same_text)
        if before is not None and list(inputs.arguments) != before["arguments"]:
            changed = _changed(_pairs(before["arguments"]), _pairs(inputs.arguments))
            return _different("build argument", changed)
        if before is None or not before["files"] or not inputs.files:
            return "the copied files changed"
        return _different("file", _changed(before["files"], inputs.files))

    def _read(self, key: str) -> dict[str, Any] | None:
        try:
            found = json.loads((self._folder / f"{key}.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and {"files", "arguments"} <= set(found) else None

    def _write(self, key: str, value: dict[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f".{key}.{os.urandom(4).hex()}"
        temporary.write_text(json.dumps(value))
        temporary.rename(self._folder / f"{key}.json")


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _pairs(arguments: Iterable[str]) -> dict[str, str]:
    return {name: value for name, _, value in (text.partition("=") for text in arguments)}


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {**before, **after} if before.get(name) != after.get(name))


def _different(noun: str, names: list[str]) -> str:
    """`file app.py changed`, `files a, b, c and 4 more changed`."""
    shown = ", ".join(names[:NAMED])
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{noun}{'s' if len(names) > 1 else ''} {shown}{more} changed"
