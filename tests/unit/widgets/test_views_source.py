from __future__ import annotations

from typing import Any

import pytest

from cutaway.cli.failures import CommandError
from cutaway.errors import BadInputError, NotFoundError
from cutaway_jupyter.widgets.layers.widget import LayersView
from cutaway_jupyter.widgets.source import Source

IMAGE = {"Id": "sha256:" + "1" * 64, "Size": 2_000_150}
HISTORY = [  # newest first, as `GET /images/{name}/history` has it
    {"CreatedBy": 'CMD ["cat"]', "Size": 0},
    {"CreatedBy": "RUN /bin/sh -c echo hello > /note # buildkit", "Size": 150},
    {"CreatedBy": "ADD rootfs.tar / # buildkit", "Size": 2_000_000},
]
CONTAINER = {
    "Id": "2" * 64,
    "Name": "/web",
    "Image": IMAGE["Id"],
    "State": {"Status": "running"},
    "Config": {"Image": "lab/first"},
    "SizeRw": 12,
}


CHANGES = [{"Kind": 0, "Path": "/etc"}, {"Kind": 1, "Path": "/note"}]


class OtherEngine:
    """Docker's own routes and no others, with the answers of an engine that is not ours."""

    own = False

    def __init__(self) -> None:
        self.routes: dict[str, Any] = {
            "/containers/web/json": CONTAINER,
            f"/containers/{CONTAINER['Id']}/json?size=1": CONTAINER,
            f"/containers/{CONTAINER['Id']}/changes": [
                {"Kind": 0, "Path": "/etc"},
                {"Kind": 1, "Path": "/a"},
            ],
            "/images/lab/first/json": IMAGE,
            f"/images/{IMAGE['Id']}/json": IMAGE,
            f"/images/{IMAGE['Id']}/history": HISTORY,
        }

    def json(self, method: str, path: str) -> Any:
        if path in self.routes:
            return self.routes[path]
        message = "page not found" if path.startswith("/cutaway") else f"No such object: {path}"
        raise CommandError(message, status=404)


def other_engine() -> Source:
    return Source(OtherEngine())  # type: ignore[arg-type]


def test_another_engine_tells_lines_and_sizes_and_no_files() -> None:
    data = other_engine().layers("lab/first")
    assert data["told"] == "history"
    assert [line["layer"] and line["layer"]["size"] for line in data["lines"]] == [2_000_000, 150, None]


def test_a_container_of_another_engine_has_its_changes_counted() -> None:
    data = other_engine().layers("web")
    assert data["container"] == {"id": "2" * 64, "name": "web", "state": "running"}
    assert data["writable"] == {"size": 12, "changed": 1, "added": 1, "deleted": 0}


def test_a_view_of_another_engine_can_be_drawn() -> None:
    view = LayersView(other_engine(), "web")
    assert [line["instruction"] for line in view.data["lines"]] == [
        "ADD rootfs.tar /",
        "RUN echo hello > /note",
        'CMD ["cat"]',
    ]
    assert "RUN echo hello &gt; /note" in view.picture()


def test_another_engine_does_not_tell_namespaces_and_the_error_says_what_does() -> None:
    with pytest.raises(BadInputError) as caught:
        other_engine().namespaces(("web",))
    assert caught.value.message == "this engine does not tell the namespaces of its containers"
    assert "docker top" in caught.value.hint


def test_an_unknown_name_is_not_taken_for_a_missing_route() -> None:
    with pytest.raises(NotFoundError, match="No such object: /images/nosuch/json"):
        other_engine().layers("nosuch")
