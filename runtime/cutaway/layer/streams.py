"""Tar files come plain or compressed; what they are is told by their first bytes, never by their name.

A layer has two digests: that of the blob as it travels (perhaps compressed) and the *diff id*, that of the
plain tar. Both are computed while the bytes flow by, in one pass: `Tee` sees the blob, `Hashing` sees the
tar.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import zlib
from typing import IO, Protocol

import zstandard

from cutaway.oci.digest import Digest
from cutaway.oci.image import LAYER, LAYER_GZIP, LAYER_ZSTD

LARGEST_WINDOW = 1 << 27  # bytes of memory that a zstd frame may ask for; what `zstd --long=27` takes
CHUNK = 1 << 18

DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zstandard.ZstdError)
"""What the decompressors raise for a damaged or truncated stream (bz2 raises a plain OSError)."""


class Readable(Protocol):
    """Anything with `read(n)`: a file, a socket's file, one of the classes here."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; none at the end."""


class Writable(Protocol):
    """Anything with `write(data)`."""

    def write(self, data: bytes, /) -> int:
        """Take all of the bytes."""


class Tee:
    """Reads from one stream and writes what it read to another."""

    def __init__(self, source: Readable, copy: Writable) -> None:
        self._source = source
        self._copy = copy

    def read(self, size: int = -1, /) -> bytes:
        """Read and copy."""
        data = self._source.read(size)
        self._copy.write(data)
        return data


class Hashing:
    """Reads through, and knows the digest and the number of bytes so far."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        """Read and hash."""
        data = self._source.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def drain(self) -> None:
        """Read to the end: an archive's padding belongs to its digest."""
        while self.read(CHUNK):
            pass

    @property
    def digest(self) -> Digest:
        """Of what was read."""
        return Digest("sha256:" + self._hash.hexdigest())


class _Rejoined:
    """A stream whose first bytes were looked at."""

    def __init__(self, head: bytes, source: Readable) -> None:
        self._head = head
        self._source = source

    def read(self, size: int = -1, /) -> bytes:
        if self._head:
            size = len(self._head) if size < 0 else size
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._source.read(size)


def decompressed(source: Readable) -> tuple[Readable, str]:
    """The plain bytes of a stream and the media type of a layer of this kind.

    Understands gzip, zstd, bzip2 and xz; the latter two have no OCI media type and give an empty one.
    """
    head = b""
    while len(head) < 6 and (data := source.read(6 - len(head))):
        head += data
    stream: IO[bytes] = _Rejoined(head, source)  # type: ignore[assignment]  # they only call read
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=stream), LAYER_GZIP
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
        return decompressor.stream_reader(stream, read_across_frames=True), LAYER_ZSTD
    if head.startswith(b"BZh"):
        return bz2.BZ2File(stream), ""
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile(stream), ""
    return stream, LAYER
