"""Content by digest: a folder that is an OCI image layout.

    content/oci-layout              {"imageLayoutVersion": "1.0.0"}
    content/index.json              the images with their names
    content/blobs/sha256/<hex>      configs, manifests, layers

A blob is written to `ingest/`, hashed on the way, synced to the disk and only then renamed to its digest.
So a blob that can be seen is whole, and whatever a crash leaves in `ingest/` is rubbish. Any tool that reads
OCI layouts can read this folder. Source: OCI image-spec, image-layout.md.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cutaway.errors import BadInputError, CutawayError, NotFoundError, NotPermittedError
from cutaway.oci.digest import Digest

LAYOUT = b'{"imageLayoutVersion": "1.0.0"}'
_CHUNK = 1 << 20


class BlobWriter:
    """A blob in the making: write bytes, then `commit`. From `ContentStore.writer` only."""

    def __init__(self, file: BinaryIO, path: Path, target: Path) -> None:
        self._file = file
        self._path = path
        self._target = target
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Append. Raises OSError when the disk is full."""
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Files have it; `commit` is what makes the bytes last."""

    @property
    def digest(self) -> Digest:
        """Of what has been written so far."""
        return Digest("sha256:" + self._hash.hexdigest())

    def commit(self, expected: str | None = None) -> Digest:
        """Make the blob visible under its digest. Raises BadInputError when that is not `expected`."""
        digest = self.digest
        if expected is not None and expected != digest:
            raise BadInputError(
                f"content has digest {digest}, expected {expected}", "it was damaged on the way; try again"
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        self._path.rename(self._target / digest.hex)
        sync_directory(self._target)
        return digest


class ContentStore:
    """The blobs of one engine. Safe to use from several threads and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs" / "sha256"
        self._ingest = root / "ingest"
        with disk_errors_told(root):
            self.blobs.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self._ingest, ignore_errors=True)
            self._ingest.mkdir()
            if not (root / "oci-layout").exists():
                self.write_file("oci-layout", LAYOUT)

    def path(self, digest: str) -> Path:
        """Where the blob is or would be. Raises BadInputError for what is not a digest."""
        return self.blobs / Digest.parse(digest).hex

    def exists(self, digest: str) -> bool:
        """Whether the blob is here, whole."""
        return self.path(digest).exists()

    def size(self, digest: str) -> int:
        """Bytes. Raises NotFoundError."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError as error:
            raise _missing(digest) from error

    def put(self, data: bytes) -> Digest:
        """Keep bytes. Writing what is there already costs only the hash."""
        digest = Digest.of(data)
        if not self.exists(digest):
            with self.writer() as writer:
                writer.write(data)
                writer.commit(digest)
        return digest

    @contextmanager
    def writer(self) -> Iterator[BlobWriter]:
        """Stream a blob in. What is not committed when the block ends is gone."""
        with disk_errors_told(self.root):
            descriptor, name = tempfile.mkstemp(dir=self._ingest)
            os.fchmod(descriptor, 0o644)
            try:
                with open(descriptor, "wb", buffering=_CHUNK) as file:
                    yield BlobWriter(file, Path(name), self.blobs)
            finally:
                Path(name).unlink(missing_ok=True)

    def open(self, digest: str) -> BinaryIO:
        """A file to read from; not verified (layers are when they are unpacked). Raises NotFoundError."""
        try:
            return open(self.path(digest), "rb")
        except FileNotFoundError as error:
            raise _missing(digest) from error

    def read(self, digest: str) -> bytes:
        """A small blob, verified. Raises NotFoundError, and CutawayError when the disk lost bits."""
        with self.open(digest) as file:
            data = file.read()
        if Digest.of(data) != digest:
            raise CutawayError(f"blob {digest} is damaged", "remove the image that uses it and make it again")
        return data

    def delete(self, digest: str) -> None:
        """Remove a blob. No error when it is not there."""
        self.path(digest).unlink(missing_ok=True)

    def walk(self) -> Iterator[Digest]:
        """Every blob, in no particular order."""
        for entry in os.scandir(self.blobs):
            if len(entry.name) == 64:
                yield Digest.from_hex(entry.name)

    def write_file(self, name: str, data: bytes) -> None:
        """Replace a file of the layout (`index.json`) at once: readers see the old one or the new one."""
        with disk_errors_told(self.root):
            descriptor, temporary = tempfile.mkstemp(dir=self._ingest)
            try:
                with open(descriptor, "wb") as file:
                    os.fchmod(file.fileno(), 0o644)
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).rename(self.root / name)
            finally:
                Path(temporary).unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Make a rename in this directory last through a power failure: fsync(2), the note on directories."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _missing(digest: str) -> NotFoundError:
    return NotFoundError(f"no content {digest}", "the image is incomplete; load or build it again")


@contextmanager
def disk_errors_told(root: Path) -> Iterator[None]:
    """Turn the errors that a disk gives into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CutawayError(f"no space left on the disk of {root}", "remove images or files") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise NotPermittedError(
                f"cannot write to {root}: {error.strerror}",
                "choose another one with --root or CUTAWAY_ROOT",
            ) from error
        raise
