"""Images through docker-py: names, removal, archives, what cannot be pulled."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from harness import EngineProcess

pytestmark = pytest.mark.root
docker = pytest.importorskip("docker")


@pytest.fixture
def client(engine: EngineProcess) -> Iterator[Any]:
    client = engine.client()
    yield client
    engine.remove_containers()


def test_an_image_is_listed_with_its_names(client: Any) -> None:
    assert any("busybox:latest" in image.tags for image in client.images.list())
    assert [image.tags for image in client.images.list(name="busybox:latest")] != []
    assert client.images.list(filters={"reference": "nothing-*"}) == []


def test_inspect_and_history_agree_on_the_layers(client: Any) -> None:
    image = client.images.get("busybox")
    assert len(image.attrs["RootFS"]["Layers"]) == sum(1 for step in image.history() if step["Size"])


def test_a_tag_is_one_more_name(client: Any) -> None:
    image = client.images.get("busybox")
    assert image.tag("shop/box", "v1")
    assert client.images.get("shop/box:v1").id == image.id
    client.images.remove("shop/box:v1")
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("shop/box:v1")


def test_an_image_in_use_is_not_removed(client: Any) -> None:
    client.images.get("busybox").tag("used:once")
    client.containers.create("busybox", ["true"])
    with pytest.raises(docker.errors.APIError) as caught:
        client.images.remove(client.images.get("busybox").id)
    assert caught.value.status_code == 409
    client.images.remove("used:once")


def test_save_and_load_give_back_the_same_image(client: Any) -> None:
    image = client.images.get("busybox")
    image.tag("saved:one")
    data = b"".join(client.images.get("saved:one").save(named="saved:one"))
    client.images.remove("saved:one")
    loaded = client.images.load(data)
    assert [(one.id, "saved:one" in one.tags) for one in loaded] == [(image.id, True)]
    client.images.remove("saved:one")


def test_loading_rubbish_is_refused(client: Any) -> None:
    with pytest.raises(docker.errors.APIError) as caught:
        client.images.load(b"this is no archive")
    assert caught.value.status_code == 400


def test_a_tar_is_imported_as_an_image(client: Any) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo("greeting")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"hello"))
    client.api.import_image_from_data(
        archive.getvalue(), repository="imported", tag="v1", changes=["ENV A=b"]
    )
    image = client.images.get("imported:v1")
    assert len(image.attrs["RootFS"]["Layers"]) == 1
    assert "A=b" in image.attrs["Config"]["Env"]
    client.images.remove("imported:v1")


def test_pulling_what_is_here_succeeds(client: Any) -> None:
    assert client.images.pull("busybox", tag="latest").tags


def test_pulling_what_nobody_has_says_why(client: Any) -> None:
    with pytest.raises(docker.errors.NotFound) as caught:
        client.images.pull("nobody/has-this", tag="latest")
    assert "pull access denied for nobody/has-this" in caught.value.explanation


def test_a_name_in_capitals_is_refused(engine: EngineProcess) -> None:
    status, body, _ = engine.request("POST", "/images/create?fromImage=BusyBox&tag=latest")
    assert status == 400
    assert body["message"] == ("invalid reference format: repository name (BusyBox) must be lowercase")


def test_the_layers_of_an_image_can_be_looked_into(engine: EngineProcess) -> None:
    status, layers, _ = engine.request("GET", "/cutaway/images/busybox/layers")
    assert status == 200
    assert layers
