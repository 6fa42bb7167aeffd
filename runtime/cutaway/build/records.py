"""What is known of how an image was built: which line made which step, how long it took, was it cached.

An OCI config has no place for this, and an image's id must not depend on it. So the last build that ended in
an image is kept beside, as one JSON file under the image's id. It is for the views; nothing needs it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class StepRecord:
    """One step. `layer` is the diff id that it added, if any; `seconds` what it took in this build."""

    step: int
    line: int
    instruction: str
    image: str
    layer: str
    cached: bool
    reason: str
    seconds: float


class BuildRecords:
    """One file for each image that a build ended in. Blocking."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, image_id: str, steps: list[StepRecord]) -> None:
        """Keep the steps of the build that just ended in this image."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(image_id)
        temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
        temporary.write_text(json.dumps([dataclasses.asdict(step) for step in steps]))
        temporary.rename(path)

    def read(self, image_id: str) -> list[dict[str, Any]]:
        """The steps as JSON objects with the fields of `StepRecord`; empty when nothing is known."""
        try:
            found = json.loads(self._path(image_id).read_bytes())
        except (OSError, ValueError):
            return []
        return found if isinstance(found, list) else []

    def _path(self, image_id: str) -> Path:
        return self._folder / f"{image_id.removeprefix('sha256:')}.json"
