"""Give a lesson the same beginning each time: no containers, no images of earlier tries, `busybox` at hand.

Only the student's own Cutaway engine is tidied up. On an engine that `DOCKER_HOST` names, other people's
containers may run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from cutaway.errors import ConflictError
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
    api = engine_api()
    if not api.own:
        raise ConflictError(
            "reset removes every container, and this engine is not the course's own",
            "del os.environ['DOCKER_HOST'] leads back to your own",
        )
    return api


def _ensure(api: Api, name: str) -> None:
    known = api.json("GET", "/images/json", filters={"reference": [name]})
    if known:
        return
    for line in api.lines("POST", f"/cutaway/images/bootstrap?name={name}"):
        if "error" in line:
            raise ConflictError(f"the image {name} could not be made: {line['error']}")
