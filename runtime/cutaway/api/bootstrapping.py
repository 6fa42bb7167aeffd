"""Getting an image by name without a registry: it is here, or it can be made here, or it cannot be had.

Making one blocks for up to minutes, so it runs in a thread; what it reports comes back to the event loop as
lines of the answer. A client that goes away stops it. Two requests for one image make it once.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from cutaway.api.answers import JsonLines
from cutaway.bootstrap import catalogue
from cutaway.errors import NotFoundError
from cutaway.oci.reference import Reference
from cutaway.store.images import Image

if TYPE_CHECKING:
    from cutaway.engine import Engine

_making: dict[tuple[str, str], asyncio.Lock] = {}


async def get_image(engine: Engine, wanted: str, lines: JsonLines) -> None:
    """What Docker's pull means here. Raises NotFoundError for what is neither here nor can be made."""
    reference = Reference.parse(wanted)
    name = reference.familiar()
    with contextlib.suppress(NotFoundError):
        engine.images.resolve(wanted)
        await lines.send(
            {"status": f"{name} is here already; this engine has no registry to ask for a newer one"}
        )
        return
    local = reference.name
    if local in catalogue.NAMES:
        await bootstrap_image(engine, local, lines)
        with contextlib.suppress(NotFoundError):
            engine.images.resolve(f"{local}:{reference.tag}")
            return
    raise NotFoundError(
        f"pull access denied for {reference.name}, it is not here and this engine reaches no registry",
        f"build it, load it, or use one that can be made here: {', '.join(catalogue.NAMES)}",
    )


async def bootstrap_image(engine: Engine, name: str, lines: JsonLines) -> Image:
    """Make a base image and say what is going on. Raises what `catalogue.bootstrap` raises."""
    lock = _making.setdefault((str(engine.settings.root), name), asyncio.Lock())
    async with lock:
        image = await _made(engine, name, lines)
    told = ", ".join(image.names) or image.id.short
    await lines.send({"status": f"{told} was made on this machine, not pulled: {_origin(name)}"})
    await lines.send({"aux": {"ID": str(image.id)}})
    engine.events.emit("image", "import", str(image.id), {"name": told})
    return image


async def _made(engine: Engine, name: str, lines: JsonLines) -> Image:
    loop, cancel = asyncio.get_running_loop(), threading.Event()
    news: asyncio.Queue[tuple[str, float | None]] = asyncio.Queue()

    def progress(phase: str, fraction: float | None) -> None:
        loop.call_soon_threadsafe(news.put_nowait, (phase, fraction))

    work = asyncio.ensure_future(
        asyncio.to_thread(
            catalogue.bootstrap, name, engine.images, engine.layers, engine.settings.cache, progress, cancel
        )
    )
    try:
        await _tell(name, work, news, lines)
        return await work
    except BaseException:
        cancel.set()
        with contextlib.suppress(Exception):
            await asyncio.shield(work)  # it ends soon, and must not leave a half-made image behind
        raise


async def _tell(
    name: str, work: asyncio.Future[Image], news: asyncio.Queue[tuple[str, float | None]], lines: JsonLines
) -> None:
    """Pass on the progress until the work is done; at most one line for each hundredth of it."""
    before: tuple[str, int] | None = None
    while not work.done() or not news.empty():
        getting = asyncio.ensure_future(news.get())
        await asyncio.wait((getting, work), return_when=asyncio.FIRST_COMPLETED)
        if not getting.done():
            getting.cancel()
            continue
        phase, fraction = getting.result()
        now = (phase, -1 if fraction is None else int(fraction * 100))
        if now != before:
            detail = {} if fraction is None else {"current": now[1], "total": 100, "units": "%"}
            await lines.send({"status": phase, "progressDetail": detail, "id": name})
        before = now


def _origin(name: str) -> str:
    if Reference.parse(name).path == "hello-world":
        return "it is built in"
    return "its files come from the distribution's packages"
