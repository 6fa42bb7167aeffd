"""The filters of `docker images --filter`: which images a list shows.

Values of one filter are alternatives for `dangling` and `reference`, and all have to hold for the others;
several filters all have to hold. Source: Docker Engine API 1.47, `GET /images/json`, parameter `filters`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from cutaway.errors import BadInputError
from cutaway.oci.reference import Reference
from cutaway.store import describe

if TYPE_CHECKING:
    from cutaway.store.images import Image

_EVERY_VALUE = ("label", "before", "since")


def passes(image: Image, filters: Mapping[str, Sequence[str]], resolve: Callable[[str], Image]) -> bool:
    """Whether an image is shown. `resolve` finds the images that `before` and `since` name.

    Raises BadInputError for a filter that Docker does not have.
    """
    tests: dict[str, Callable[[str], bool]] = {
        "dangling": lambda value: image.dangling == (value.lower() in ("1", "true")),
        "label": lambda value: describe.has_label(image, value),
        "reference": lambda value: bool(matching(image.names, (value,))),
        "before": lambda value: image.created < resolve(value).created,
        "since": lambda value: image.created > resolve(value).created,
    }
    unknown = set(filters) - set(tests)
    if unknown:
        raise BadInputError(f"invalid filter '{min(unknown)}'", f"filters: {', '.join(sorted(tests))}")
    return all(
        (all if key in _EVERY_VALUE else any)(tests[key](value) for value in values)
        for key, values in filters.items()
        if values
    )


def matching(names: Sequence[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """Those of an image's names that the values of `reference` ask for: the others are not shown."""
    return tuple(name for name in names if any(_matches(name, pattern) for pattern in patterns))


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(Reference.parse(name).name, pattern)
