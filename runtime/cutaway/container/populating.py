"""A new volume begins with what the image has at its place.

So a database whose image brings `/var/lib/db` finds its files in the volume that is mounted over them. It
happens once, when the first container that mounts the volume is made and the volume is still empty; `nocopy`
leaves it empty.

Source: Docker, "Populate a volume using a container".
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cutaway.container.records import Mount, Record
from cutaway.container.rootview import RootView
from cutaway.container.shelf import Kept
from cutaway.errors import CutawayError
from cutaway.layer.apply import apply
from cutaway.layer.layers import Layers
from cutaway.layer.tarring import TarWriter
from cutaway.layer.walk import Entry, walk
from cutaway.linux.files import RootFiles


class Populating:
    """Fills volumes from the layers of the containers that mount them first."""

    def __init__(self, view: RootView, layers: Layers) -> None:
        self._view, self._layers = view, layers

    async def populate(self, kept: Kept) -> None:
        """Fill the volumes that are empty. Raises CutawayError when the disk cannot hold it."""
        wanted = [mount for mount in kept.record.mounts if self._wants(mount, kept.record)]
        if not wanted:
            return

        def work(files: RootFiles) -> None:
            for mount in wanted:
                _fill(files, mount)

        await self._view.within(kept, work, volumes=False)

    def _wants(self, mount: Mount, record: Record) -> bool:
        """Whether there may be something to copy; most mounts are told apart without looking at the image."""
        if mount.type != "volume" or not mount.copy or any(Path(mount.source).iterdir()):
            return False
        inside = mount.destination.lstrip("/")
        return any(_has(self._layers.diff(layer), inside) for layer in record.layers)


def _has(layer: Path, inside: str) -> bool:
    """Whether a layer has something there; a link on the way may lead anywhere in the image, so it counts."""
    with RootFiles(layer) as files:
        parts = inside.split("/")
        for number in range(1, len(parts) + 1):
            try:
                mode = files.lstat("/".join(parts[:number])).st_mode
            except OSError:
                return False
            if mode & 0o170000 == 0o120000:
                return True
        return True


def _fill(files: RootFiles, mount: Mount) -> None:
    try:
        descriptor = files.open(mount.destination, os.O_PATH | os.O_DIRECTORY)
    except OSError:  # no folder there
        return
    goal = Path(mount.source)
    try:
        top = Entry("", ".", descriptor, os.fstat(descriptor))
        with tempfile.TemporaryFile(dir=goal.parent) as scratch:
            tar = TarWriter(scratch)
            for entry in walk(top):
                tar.add(entry, entry.path)
            tar.end()
            scratch.seek(0)
            apply(scratch, goal)
        os.chown(goal, top.stat.st_uid, top.stat.st_gid)
        goal.chmod(top.stat.st_mode & 0o7777)
    except OSError as error:
        raise CutawayError(
            f"cannot fill the volume {mount.name}: {(error.strerror or str(error)).lower()}",
            "is there room on the disk?",
        ) from error
    finally:
        os.close(descriptor)
