"""Where the views' data come from: the engine, asked through the same client as every command.

Docker's API does not tell which files a layer changes or which namespaces a process is in. Our engine
answers that under `/cutaway/…`. Another engine, named by `DOCKER_HOST`, has no such route: a view then
shows what Docker's API gives (`told` is "history"), or says that this engine does not tell.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from cutaway.cli.failures import CommandError
from cutaway.errors import BadInputError, NotFoundError

if TYPE_CHECKING:
    from cutaway.cli.client import Api

Json = dict[str, Any]


class Source:
    """A connection for one view. Any thread may ask; one question at a time."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()

    def get(self, route: str) -> Any:
        """The JSON answer to a GET. Raises NotFoundError, EngineUnavailableError or CommandError."""
        try:
            with self._lock:
                return self._api.json("GET", route)
        except CommandError as error:
            if error.status == 404:
                raise NotFoundError(error.message, error.hint) from error
            raise

    def layers(self, name: str) -> Json:
        """The layers of the container or, where there is none, of the image called `name`."""
        try:
            container = self.get(f"/containers/{quote(name, safe='')}/json")
        except NotFoundError:
            return self._image_layers(name)
        return self._told(f"/cutaway/containers/{container['Id']}/layers") or self._container_history(
            container
        )

    def files(self, data: Json, layer: str, path: str) -> Json:
        """What one layer holds in the folder `path`; `layer` is a number or "writable"."""
        if layer == "writable":
            owner = f"/cutaway/containers/{data['container']['id']}"
        else:
            owner = f"/cutaway/images/{quote(data['image']['id'], safe=':')}"
        return cast(Json, self.get(f"{owner}/layers/{layer}/files?path={quote(path)}"))

    def namespaces(self, names: tuple[str, ...]) -> Json:
        """The namespaces of the host and the named containers; of all running ones without a name."""
        for name in names:
            self.get(f"/containers/{quote(name, safe='')}/json")  # an unknown name has its own message
        told = self._told(f"/cutaway/namespaces?containers={quote(','.join(names))}")
        if told is None:
            raise BadInputError(
                "this engine does not tell the namespaces of its containers",
                "docker top NAME shows the processes; ls -l /proc/PID/ns on the engine's host shows the rest",
            )
        return told

    def _told(self, route: str) -> Json | None:
        """The answer of one of our own routes; None where another engine has none."""
        try:
            return cast(Json, self.get(route))
        except NotFoundError:
            if self._api.own:
                raise
            return None

    def _image_layers(self, name: str) -> Json:
        image = self.get(f"/images/{quote(name, safe='/:@')}/json")
        told = self._told(f"/cutaway/images/{quote(image['Id'], safe=':')}/layers?name={quote(name)}")
        return told or self._history(image, name)

    def _history(self, image: Json, name: str) -> Json:
        """What Docker's API gives: instructions and sizes. An instruction of no size may or may not be a
        layer.
        """
        history = list(reversed(self.get(f"/images/{quote(image['Id'], safe=':')}/history")))
        lines = [
            {
                "created_by": entry["CreatedBy"],
                "created": "",
                "from": None,
                "layer": {"size": entry["Size"]} if entry["Size"] else None,
            }
            for entry in history
        ]
        for number, line in enumerate((line for line in lines if line["layer"]), start=1):
            line["layer"].update(number=number, hidden=0, added=None, changed=None, deleted=None)
        return {
            "told": "history",
            "image": {"id": image["Id"], "name": name, "size": image["Size"]},
            "container": None,
            "writable": None,
            "lines": lines,
        }

    def _container_history(self, container: Json) -> Json:
        data = self._history(
            self.get(f"/images/{quote(container['Image'], safe=':')}/json"), container["Config"]["Image"]
        )
        changes = self.get(f"/containers/{container['Id']}/changes") or []
        kinds = [change["Kind"] for change in changes]
        sized = self.get(f"/containers/{container['Id']}/json?size=1")
        data["container"] = {
            "id": container["Id"],
            "name": container["Name"].lstrip("/"),
            "state": container["State"]["Status"],
        }
        data["writable"] = {
            "size": sized.get("SizeRw") or 0,
            "changed": kinds.count(0),
            "added": kinds.count(1),
            "deleted": kinds.count(2),
        }
        return data
