"""From a path to its handler: versions, parts, names with slashes."""

from __future__ import annotations

import pytest

from cutaway.api.routing import Call, Routes, without_version
from cutaway.errors import BadInputError, NotFoundError


def table() -> Routes:
    routes = Routes()

    async def handler(call: Call) -> object:
        return None

    routes.get("/containers/json")(handler)  # type: ignore[arg-type]
    routes.get("/containers/{id}/json")(handler)  # type: ignore[arg-type]
    routes.get("/images/{name*}/json")(handler)  # type: ignore[arg-type]
    routes.post("/images/{name*}/tag")(handler)  # type: ignore[arg-type]
    return routes


@pytest.mark.parametrize("prefix", ["", "/v1.24", "/v1.47"])
def test_the_version_before_a_path_makes_no_difference(prefix: str) -> None:
    assert table().find("GET", f"{prefix}/containers/abc/json")[1] == {"id": "abc"}


@pytest.mark.parametrize("name", ["busybox", "busybox:1.36", "a/b/c:d", "example.test:5000/web", "json/json"])
def test_an_images_name_may_hold_slashes(name: str) -> None:
    assert table().find("GET", f"/images/{name}/json")[1] == {"name": name}


def test_parts_of_a_path_are_decoded() -> None:
    assert table().find("GET", "/images/a%2Fb%3Alatest/json")[1] == {"name": "a/b:latest"}


def test_head_finds_what_get_finds() -> None:
    assert table().find("HEAD", "/containers/json")[1] == {}


@pytest.mark.parametrize("path", ["/", "", "/containers", "/containers/a/b/json", "/nothing", "/v1.47/", "x"])
def test_an_unknown_path_is_page_not_found(path: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        table().find("GET", path)
    assert caught.value.message == "page not found"


def test_a_known_path_with_another_method_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        table().find("DELETE", "/containers/json")


def test_a_newer_client_is_told_what_is_spoken_here() -> None:
    with pytest.raises(BadInputError) as caught:
        without_version("/v1.99/info")
    assert caught.value.message == ("client version 1.99 is too new. Maximum supported API version is 1.47")


def test_an_older_client_is_told_to_upgrade() -> None:
    with pytest.raises(BadInputError) as caught:
        without_version("/v1.12/info")
    assert caught.value.message == (
        "client version 1.12 is too old. Minimum supported API version is 1.24, "
        "please upgrade your client to a newer version"
    )


def test_a_path_that_only_looks_like_a_version_is_left_alone() -> None:
    assert without_version("/v1.47beta/info") == "/v1.47beta/info"
