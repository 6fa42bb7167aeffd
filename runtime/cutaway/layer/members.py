"""The members of a tar stream, one after the other, from someone who may wish us ill.

Python's `tarfile` takes a broken header in the middle for the end of the archive and reads a member's
extended header into memory whatever its size. Here the first is an error and the second has a limit. Source
of the format: pax(1p), "pax Interchange Format"; tar(5).
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Self, cast

from cutaway.errors import BadInputError
from cutaway.layer import streams
from cutaway.layer.streams import Readable

LARGEST_HEADER = 1 << 20  # bytes; real ones hold a path and some extended attributes
_ENDS = ("EOFHeaderError", "EmptyHeaderError")  # the two headers that end an archive rightly
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, b"L", b"K")


class StrictTarInfo(tarfile.TarInfo):
    """A member that does not come from a damaged header."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read one block of 512 bytes."""
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0:
            raise tarfile.ReadError(f"member of {info.size} bytes")
        if info.type in _EXTENDED and info.size > LARGEST_HEADER:
            raise tarfile.ReadError(f"extended header of {info.size} bytes")
        return info

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        """Read the next header with its extended ones."""
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if type(error).__name__ in _ENDS:
                raise
            raise tarfile.ReadError(str(error)) from error


@contextmanager
def reading(source: Readable) -> Iterator[tarfile.TarFile]:
    """Open a plain tar stream. Raises BadInputError, from anywhere in the block, when it is damaged."""
    with (
        damage_told(),
        tarfile.open(
            fileobj=cast(IO[bytes], source), mode="r|", tarinfo=StrictTarInfo, bufsize=streams.CHUNK
        ) as tar,
    ):
        yield tar


def members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Each member in order; its content has to be read before the next is asked for."""
    while (info := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # a stream is not sought in: keep no list
        yield info


@contextmanager
def damage_told() -> Iterator[None]:
    """Turn what tarfile and the decompressors raise for damaged archives into BadInputError."""
    try:
        yield
    except (tarfile.TarError, *streams.DAMAGED, RecursionError, UnicodeError) as error:
        raise _damaged(error) from error
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) is not None:
            raise
        raise _damaged(error) from error


def _damaged(error: Exception) -> BadInputError:
    return BadInputError(f"damaged archive: {error or type(error).__name__}", "make or fetch the file again")
