"""An image's layers, mounted for the builder's eyes only.

COPY and WORKDIR change the file system of an image without running a program in it. What a new layer has to
hold then is overlayfs's business: a folder that exists in a lower layer keeps its mode and owner, a replaced
file needs no mark, a link in a lower layer leads where it leads in the container. So the layers are really
mounted, with an empty upper directory, and the change is made in the merged tree.

That happens in a thread with private mounts: see `linux.private_mounts`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from cutaway.linux.kernel import Kernel
from cutaway.linux.overlay import MountOverlay
from cutaway.linux.step import Context


@dataclasses.dataclass(frozen=True, slots=True)
class Scratch:
    """The folders of one change, below `folder`, on the layers' file system."""

    folder: Path

    @property
    def upper(self) -> Path:
        """What the change made: the layer to be."""
        return self.folder / "upper"

    @property
    def merged(self) -> Path:
        """Where the thread sees the image."""
        return self.folder / "merged"

    @property
    def source(self) -> Path:
        """Where the thread sees the other stage of COPY --from."""
        return self.folder / "source"

    def create(self) -> None:
        """Make the folders."""
        for name in ("upper", "work", "merged", "source", "source-upper", "source-work", "empty"):
            (self.folder / name).mkdir(parents=True, mode=0o755)

    def mount(self, layers_dir: Path, lowers: Sequence[str]) -> None:
        """Mount layers (topmost first, relative to `layers_dir`) under the upper one. In the thread only."""
        if lowers:  # the merged root has the attributes of the upper directory
            status = (layers_dir / lowers[0]).stat()
            os.chown(self.upper, status.st_uid, status.st_gid)
            self.upper.chmod(status.st_mode & 0o7777)
        self._overlay(layers_dir, lowers, "upper", "work", self.merged)

    def mount_source(self, layers_dir: Path, lowers: Sequence[str]) -> None:
        """Mount another image's layers at `source`; what might be written there is thrown away."""
        self._overlay(layers_dir, lowers, "source-upper", "source-work", self.source)

    def _overlay(
        self, layers_dir: Path, lowers: Sequence[str], upper: str, work: str, target: Path
    ) -> None:
        folder = self.folder
        bottom = tuple(lowers) or (str(folder / "empty"),)  # overlayfs wants one lower directory at least
        step = MountOverlay(str(layers_dir), bottom, str(folder / upper), str(folder / work), str(target))
        step.execute(Context(Kernel()))
