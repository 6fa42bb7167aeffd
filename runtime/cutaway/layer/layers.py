"""The unpacked layers of one engine, each once, whichever images use it.

    layers/<16 hex>/diff/     what overlayfs mounts as a lower directory
    layers/<16 hex>/id        the whole diff id
    layers/<16 hex>/size      bytes of the files in it

The folder's name is short because mount(2) has one page for all of its options. A layer is made in `.new/`
and renamed, so one that can be seen is whole; a crash leaves rubbish in `.new/` only. What a container
wrote becomes a layer without being copied: its upper directory is read once for the blob and then renamed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cutaway.errors import BadInputError, CutawayError, NotFoundError
from cutaway.layer import members, streams
from cutaway.layer.apply import Progress, apply
from cutaway.layer.diff import write_tar
from cutaway.layer.streams import Hashing, Readable, Tee
from cutaway.oci.digest import Digest
from cutaway.oci.image import LAYER, Descriptor, Layer
from cutaway.store.content import ContentStore, disk_errors_told

NAME_DIGITS = 16


class Layers:
    """Unpacked layers below a folder, with their blobs in a content store. Blocking; for any thread."""

    def __init__(self, root: Path, content: ContentStore) -> None:
        self.root = root
        self._content = content
        self._new = root / ".new"
        with disk_errors_told(root):
            shutil.rmtree(self._new, ignore_errors=True)
            self._new.mkdir(parents=True)

    def path(self, diff_id: str) -> Path:
        """The layer's own folder, there or not. Raises BadInputError for what is not a digest."""
        return self.root / Digest.parse(diff_id).hex[:NAME_DIGITS]

    def diff(self, diff_id: str) -> Path:
        """The folder that overlayfs mounts."""
        return self.path(diff_id) / "diff"

    def lower(self, diff_id: str) -> str:
        """The same, relative to `root`: what a plan puts into `lowerdir`."""
        return f"{self.path(diff_id).name}/diff"

    def exists(self, diff_id: str) -> bool:
        """Whether it is unpacked here, whole. Raises CutawayError when another layer has its short name."""
        try:
            found = (self.path(diff_id) / "id").read_text()
        except FileNotFoundError:
            return False
        if found != diff_id:
            raise CutawayError(f"layers {found} and {diff_id} have the same short name", "remove one image")
        return True

    def size(self, diff_id: str) -> int:
        """Bytes of its files. Raises NotFoundError."""
        try:
            return int((self.path(diff_id) / "size").read_text())
        except FileNotFoundError as error:
            raise NotFoundError(f"no layer {diff_id}", "load or build the image again") from error

    def walk(self) -> Iterator[Digest]:
        """Every layer that is unpacked, in no particular order."""
        for entry in os.scandir(self.root):
            if entry.name != self._new.name and (Path(entry.path) / "id").exists():
                yield Digest((Path(entry.path) / "id").read_text())

    def remove(self, diff_id: str) -> None:
        """Delete from the disk; it is gone at once, whatever interrupts. No error when it is not there."""
        with self._making() as folder:
            try:
                self.path(diff_id).rename(folder / "gone")
            except FileNotFoundError:
                pass

    def ensure(self, diff_id: str, blob: str, progress: Progress | None = None) -> Path:
        """Unpack the blob unless the layer is there; returns its `diff` folder.

        Raises NotFoundError for the blob, BadInputError when it is not what its digests say.
        """
        if not self.exists(diff_id):
            with self._content.open(blob) as file:
                self._unpack(file, diff_id, blob, progress)
        return self.diff(diff_id)

    def import_tar(
        self,
        source: Readable,
        diff_id: str | None = None,
        blob: str | None = None,
        progress: Progress | None = None,
    ) -> Layer:
        """Take in a layer's tar, plain or compressed, in one pass: blob and folder at the same time.

        Raises BadInputError when it is damaged or has other digests than the ones expected; then nothing is
        kept.
        """
        with self._content.writer() as writer, members.damage_told():
            tee = Tee(source, writer)
            layer = self._unpack(tee, diff_id, None, progress)
            while tee.read(streams.CHUNK):
                pass
            try:
                writer.commit(blob)
            except BadInputError:
                self.remove(layer.diff_id)
                raise
        descriptor = Descriptor(layer.descriptor.media_type or LAYER, str(writer.digest), writer.size)
        return Layer(layer.diff_id, descriptor, layer.size)

    def commit_upper(self, upper: Path) -> Layer:
        """Make a layer of a container's upper directory, which is gone afterwards; nothing may have it
        mounted.

        `Layer.empty` tells whether anything was in it. The folder has to be on the same file system.
        """
        with self._content.writer() as writer:
            size = write_tar(upper, writer)
            diff_id = writer.commit()
        with self._making() as folder:
            upper.rename(folder / "diff")
            self._publish(folder, diff_id, size)
        return Layer(diff_id, Descriptor(LAYER, str(diff_id), writer.size), size)

    def copy_upper(self, upper: Path) -> Layer:
        """Make a layer of what is in an upper directory, which stays: a container goes on writing to it."""
        with self._content.writer() as writer:
            size = write_tar(upper, writer)
            diff_id = writer.commit()
        self.ensure(diff_id, diff_id)
        return Layer(diff_id, Descriptor(LAYER, str(diff_id), writer.size), size)

    def _unpack(
        self, source: Readable, diff_id: str | None, blob: str | None, progress: Progress | None
    ) -> Layer:
        with self._making() as folder, members.damage_told():
            target = folder / "diff"
            target.mkdir(mode=0o755)
            compressed = Hashing(source)
            plain, media_type = streams.decompressed(compressed)
            tar = Hashing(plain)
            done = apply(tar, target, progress)
            compressed.drain()
            _expect(diff_id, tar.digest, "layer")
            _expect(blob, compressed.digest, "blob")
            self._publish(folder, tar.digest, done.size)
        return Layer(tar.digest, Descriptor(media_type, str(compressed.digest), compressed.size), done.size)

    def _publish(self, folder: Path, diff_id: Digest, size: int) -> None:
        (folder / "id").write_text(diff_id)
        (folder / "size").write_text(str(size))
        if not self.exists(diff_id):
            try:
                folder.rename(self.path(diff_id))
            except OSError:
                if not self.exists(diff_id):  # somebody else was faster
                    raise

    @contextmanager
    def _making(self) -> Iterator[Path]:
        """A folder to build a layer in; what is still there when the block ends is deleted."""
        with disk_errors_told(self.root):
            folder = Path(tempfile.mkdtemp(dir=self._new))
            folder.chmod(0o755)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)


def _expect(expected: str | None, found: Digest, noun: str) -> None:
    if expected not in (None, found):
        raise BadInputError(
            f"{noun} has digest {found}, expected {expected}", "it was damaged; fetch it again"
        )
