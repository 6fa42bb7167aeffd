"""A digest names content by its SHA-256, so a name cannot lie about what it names.

Blobs, layers, manifests and image ids are all digests: `sha256:` and 64 hex digits. Docker shows the first
twelve of them. Only SHA-256 is accepted: the OCI image spec requires it and nobody uses anything else.
Source: OCI image-spec, descriptor.md, "Digests".
"""

from __future__ import annotations

import hashlib
import re
from typing import Self

from cutaway.errors import BadInputError

_FORM = re.compile(r"sha256:[0-9a-f]{64}\Z")


class Digest(str):
    """`sha256:` and 64 lower-case hex digits. A `str`, so it prints, sorts and hashes as one.

    msgspec encodes only true `str`: give it `str(digest)`.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Check the form. Raises BadInputError for anything but `sha256:<64 hex>`."""
        if not _FORM.match(text):
            raise BadInputError(f'invalid digest "{text}"', "a digest is sha256: and 64 hex digits")
        return cls(text)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The digest of bytes at hand."""
        return cls("sha256:" + hashlib.sha256(data).hexdigest())

    @classmethod
    def from_hex(cls, hexadecimal: str) -> Self:
        """Put `sha256:` before 64 hex digits. Raises BadInputError like `parse`."""
        return cls.parse("sha256:" + hexadecimal)

    @property
    def hex(self) -> str:
        """The 64 digits alone: the name of the blob's file."""
        return self[7:]

    @property
    def short(self) -> str:
        """The first twelve digits, as Docker prints ids."""
        return self[7:19]
