"""A reference is what people type to name an image: `busybox`, `example.test:5000/web:1.2`, `web@sha256:…`.

    reference = [domain "/"] path [":" tag] ["@" digest]

The first part is a domain (a registry's address) when it has a dot or a colon or is `localhost`, and
belongs to the path otherwise. No tag and no digest means `:latest`. The grammar is that of
distribution/reference, which Docker uses: a path is lower case, its parts are joined by `/`, the words of a
part by one of `.`, `_`, `__`, `-`.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Self

from cutaway.errors import BadInputError
from cutaway.oci.digest import Digest

_WORD = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_WORD}(?:/{_WORD})*\Z")
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_LONGEST_NAME = 255
# Clients write short names out (`docker.io/library/busybox`) before they send them; here they are short.
_IMPLIED_DOMAINS = ("docker.io", "index.docker.io")
_OFFICIAL = "library/"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Reference:
    """The name of an image, taken apart. `domain`, `tag` and `digest` may be empty."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str, *, default_tag: str = "latest") -> Self:
        """Read a reference as Docker does; without tag and digest it gets `default_tag`.

        Raises BadInputError with Docker's wording: "invalid reference format…".
        """
        rest, at, digest = text.partition("@")
        if at:
            digest = Digest.parse(digest)
        name, tag = _split_tag(rest)
        domain, path = _split_domain(name)
        _check_name(text, domain, path)
        if (tag or rest.endswith(":")) and not _TAG.match(tag):
            raise BadInputError(
                f'invalid reference format: invalid tag in "{text}"',
                "a tag has up to 128 letters, digits, dots, dashes and underscores",
            )
        if not tag and not at:
            tag = default_tag
        return cls(domain, path, tag, digest)

    @property
    def name(self) -> str:
        """Domain and path without tag: what Docker lists as REPOSITORY."""
        return f"{self.domain}/{self.path}" if self.domain else self.path

    def familiar(self) -> str:
        """The whole reference as Docker prints it: `busybox:latest`."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return self.name + tag + digest

    def __str__(self) -> str:
        return self.familiar()


def is_id(text: str) -> bool:
    """Whether it can only be an id: `sha256:…`, or 64 hex digits, which the grammar forbids as a name."""
    return text.startswith("sha256:") or re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _split_tag(text: str) -> tuple[str, str]:
    """A colon after the last slash starts the tag; one before it belongs to the domain's port."""
    head, slash, last = text.rpartition("/")
    last, _, tag = last.partition(":")
    return head + slash + last, tag


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return ("", rest.removeprefix(_OFFICIAL)) if first in _IMPLIED_DOMAINS else (first, rest)
    return "", name


def _check_name(text: str, domain: str, path: str) -> None:
    if not path:
        raise BadInputError(
            f'invalid reference format: "{text}"', "an image is named like busybox or web:1.0"
        )
    if path != path.lower():
        raise BadInputError(
            f"invalid reference format: repository name ({path}) must be lowercase", f"try {path.lower()}"
        )
    if not _PATH.match(path) or (domain and not _DOMAIN.match(domain)):
        raise BadInputError(
            f'invalid reference format: "{text}"',
            "use lower-case letters and digits, joined by a dot, dash, underscore or slash",
        )
    if len(path) + len(domain) > _LONGEST_NAME:
        raise BadInputError(
            f"invalid reference format: repository name must not be more than {_LONGEST_NAME} characters",
            "choose a shorter name",
        )
    if re.fullmatch(r"[0-9a-f]{64}", path) and not domain:
        raise BadInputError(
            f"invalid repository name ({path}), cannot specify 64-byte hexadecimal strings",
            "an image's id is not a name; add a tag to it with the tag command",
        )
