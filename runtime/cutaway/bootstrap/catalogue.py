"""The base images that can be made without a registry, and where their parts are kept.

`hello-world` is assembled here, `busybox` comes from a package, `debian` or `ubuntu` from the
distribution's own tool. An image never carries a name that it is not. Parts that took long to fetch are
kept in two caches: the engine's own and one that all engines of a user share.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from cutaway.bootstrap import busybox, debian, hello
from cutaway.errors import BadInputError, NotPermittedError
from cutaway.layer.layers import Layers
from cutaway.oci.reference import Reference
from cutaway.store.images import Image, Images

NAMES = ("hello-world", "busybox", *debian.DISTRIBUTIONS)

Progress = Callable[[str, float | None], None]
"""Called from the worker's thread with a phase (`download`, `unpack`, `import`) and how much of it is done,
0 to 1, or None if unknown. It may raise to stop."""


def bootstrap(
    name: str,
    images: Images,
    layers: Layers,
    cache: Path,
    progress: Progress = lambda phase, fraction: None,
    cancel: threading.Event | None = None,
) -> Image:
    """Make a base image and name it. Blocks for up to minutes: run it in a thread; set `cancel` to stop it.

    `cache` is the engine's own (`settings.cache`). Made again, an image that did not change keeps its id.
    Raises BadInputError for an unknown name, NotFoundError (its hint names the package) for a missing tool,
    NotPermittedError where this machine is another distribution or lacks a right, CutawayError with status
    499 when cancelled. Whatever it raises, nothing half made is left.
    """
    wanted = Reference.parse(name).name
    caches = [folder for folder in (shared_cache(os.environ), cache) if _writable(folder)]
    if not caches:
        raise NotPermittedError(
            f"cannot write to the cache {cache}", "set CUTAWAY_CACHE to a folder of yours"
        )
    if wanted == "hello-world":
        return hello.make(images, layers)
    if wanted == "busybox":
        return busybox.make(images, layers, caches[0], progress, cancel)
    if wanted in debian.DISTRIBUTIONS:
        return debian.make(wanted, images, layers, caches, progress, cancel)
    raise BadInputError(f"{wanted} cannot be made here", f"known are: {', '.join(NAMES)}")


def shared_cache(environ: Mapping[str, str]) -> Path:
    """`CUTAWAY_CACHE`, else `/var/cache/cutaway` as root, else `cutaway` below `XDG_CACHE_HOME`."""
    chosen = environ.get("CUTAWAY_CACHE")
    if chosen:
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/cache/cutaway")
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cutaway"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
