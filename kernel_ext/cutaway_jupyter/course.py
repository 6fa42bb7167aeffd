"""Give a lesson the same beginning each time: no containers, no images of earlier tries, `busybox` at hand.

Only an engine that was set apart for lessons is tidied up, as `cutaway lab` does it. On the default engine,
and on one that `DOCKER_HOST` names, containers may run that somebody needs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from cutaway.errors import ConflictError
from cutaway.settings import Settings, default_root
from cutaway_jupyter.engine import engine_api

if TYPE_CHECKING:
    from cutaway.cli.client import Api

OWN_IMAGES = "lab/"
NEEDED = ("hello-world", "busybox")


def reset() -> None:
    """Remove all containers and `lab/…` images of the engine, see that `busybox` is there, print one line.

    May be called at any time and again. Raises ConflictError on an engine that is not the student's own.
    """
    api = _own_engine()
    for container in api.json("GET", "/containers/json", all=True):
        api.json("DELETE", f"/containers/{container['Id']}", force=True, v=True)
    for image in api.json("GET", "/images/json"):
        for name in image["RepoTags"] or ():
            if name.startswith(OWN_IMAGES):
                api.json("DELETE", f"/images/{quote(name)}", force=True)
    for name in NEEDED:
        _ensure(api, name)
    print(f"ready: no containers, images {' and '.join(NEEDED)}")  # noqa: T201  # the cell's output


def _own_engine() -> Api:
    if os.environ.get("DOCKER_HOST") or Settings.from_environment().root == default_root(os.environ):
        raise ConflictError(
            "reset removes every container, and this engine was not set apart for lessons",
            "open the lesson with `cutaway lab`, or unset DOCKER_HOST and set CUTAWAY_ROOT",
        )
    return engine_api()


def _ensure(api: Api, name: str) -> None:
    known = api.json("GET", "/images/json", filters={"reference": [name]})
    if known:
        return
    for line in api.lines("POST", f"/cutaway/images/bootstrap?name={name}"):
        if "error" in line:
            raise ConflictError(f"the image {name} could not be made: {line['error']}")
