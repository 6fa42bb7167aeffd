"""What `GET /info` and `GET /system/df` say about this engine and this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cutaway.engine import Engine


async def engine_info(engine: Engine) -> dict[str, Any]:
    """The JSON of `GET /info`."""
    return {}


def disk_usage(engine: Engine) -> dict[str, Any]:
    """The JSON of `GET /system/df`."""
    return {}
