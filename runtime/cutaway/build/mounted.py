"""A thread that sees an image's layers mounted, and nobody else does.

COPY and WORKDIR change the file system of an image without running a program in it. What a new layer has to
hold then is overlayfs's business: a folder that exists in a lower layer keeps its mode and owner, a replaced
file needs no mark, a link in a lower layer leads where it leads in the container. So the layers are really
mounted, with an empty upper directory, and the change is made in the merged tree.

Mount namespaces belong to threads, not to processes: unshare(2) gives the calling thread a private copy of
the mount table, and with it its own current directory and umask. The overlay is mounted there, so the host
never sees it, no child process is started, and when the thread ends the mounts are gone whatever happened.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from cutaway.linux.constants import CLONE_NEWNS
from cutaway.linux.kernel import Kernel
from cutaway.linux.mounts import PrivateMounts
from cutaway.linux.overlay import MountOverlay
from cutaway.linux.step import Context

T = TypeVar("T")


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


async def in_private_mounts(work: Callable[[], T], stop: threading.Event) -> T:
    """Run `work` in a thread of its own with a mount namespace of its own.

    When the caller is cancelled, `stop` is set and the thread is waited for: `work` looks at it now and then.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def body() -> None:
        try:
            kernel = Kernel()
            kernel.unshare(CLONE_NEWNS)
            PrivateMounts().execute(Context(kernel))
            os.umask(0)
            result = work()
        except BaseException as error:
            loop.call_soon_threadsafe(done.set_exception, error)
        else:
            loop.call_soon_threadsafe(done.set_result, result)

    thread = threading.Thread(target=body, name="build-mounts")
    thread.start()
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([done])
        done.exception()
        raise
    finally:
        await asyncio.to_thread(thread.join)  # the mounts end with the thread
