import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from image_workshop import Workshop, tar_of

from cutaway.errors import BadInputError, NotFoundError
from cutaway.layer import archive


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop.at(tmp_path / "one")


@pytest.fixture
def other(tmp_path: Path) -> Workshop:
    return Workshop.at(tmp_path / "two")


def saved(shop: Workshop, *names: str) -> bytes:
    buffer = io.BytesIO()
    archive.save(buffer, names, shop.images)
    return buffer.getvalue()


def load(shop: Workshop, data: bytes) -> list[str]:
    return [str(image.id) for image in archive.load(io.BytesIO(data), shop.images, shop.layers)]


def members_of(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def pack(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_a_saved_image_is_the_same_image_after_loading(shop: Workshop, other: Workshop):
    base = shop.image("base", a="1")
    image = shop.image("team/web:1", parent=base, b="2")
    assert load(other, saved(shop, "team/web:1")) == [image.id]
    loaded = other.images.resolve("team/web:1")
    assert (loaded.id, loaded.manifest, loaded.layers) == (image.id, image.manifest, image.layers)
    assert (other.layers.diff(loaded.layers[1]) / "b").read_text() == "2"
    assert loaded.parent == ""


def test_saving_is_deterministic_and_both_forms_in_one(shop: Workshop):
    image = shop.image("web", a="1")
    data = saved(shop, "web")
    assert saved(shop, "web") == data
    found = members_of(data)
    for name, content in found.items():
        if name.startswith("blobs/sha256/"):
            assert hashlib.sha256(content).hexdigest() == name.removeprefix("blobs/sha256/")
    (entry,) = json.loads(found["manifest.json"])
    assert entry["RepoTags"] == ["web:latest"]
    assert entry["Config"] == f"blobs/sha256/{image.id.hex}"
    (descriptor,) = json.loads(found["index.json"])["manifests"]
    assert descriptor["digest"] == image.manifest
    assert json.loads(found["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}


def test_a_name_without_tag_saves_all_tags_and_an_id_none(shop: Workshop, other: Workshop):
    shop.image("web:1", "web:2", "shop:1", a="1")
    load(other, saved(shop, "web"))
    assert other.images.resolve("web:1").names == ("web:1", "web:2")
    (entry,) = json.loads(members_of(saved(shop, shop.images.resolve("web:1").id))["manifest.json"])
    assert not entry["RepoTags"]


def test_an_oci_layout_is_loaded_with_its_names_and_compressed_layers(shop: Workshop, other: Workshop):
    image = shop.image("web", a="1")
    found = members_of(saved(shop, "web"))
    del found["manifest.json"]
    plain = found.pop(f"blobs/sha256/{image.stack[0].blob.hex}")
    packed = gzip.compress(plain)
    manifest = json.loads(found.pop(f"blobs/sha256/{image.manifest.hex}"))
    manifest["layers"][0] = {
        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "digest": "sha256:" + hashlib.sha256(packed).hexdigest(),
        "size": len(packed),
    }
    data = json.dumps(manifest).encode()
    digest = hashlib.sha256(data).hexdigest()
    index = json.loads(found["index.json"])
    index["manifests"][0] |= {"digest": f"sha256:{digest}", "size": len(data)}
    found |= {
        "index.json": json.dumps(index).encode(),
        f"blobs/sha256/{digest}": data,
        f"blobs/sha256/{hashlib.sha256(packed).hexdigest()}": packed,
    }
    assert load(other, pack(found)) == [image.id]
    loaded = other.images.resolve("web")
    assert loaded.manifest == f"sha256:{digest}"
    assert loaded.layers == image.layers


def test_dockers_older_form_is_loaded(other: Workshop):
    layer = tar_of(a="1")
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/a"], "Image": "sha256:x", "AttachStdin": False},
        "container_config": {"Hostname": "old"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        "history": [{"created": "2016-01-01T00:00:00.123456789Z", "created_by": "/bin/sh -c #(nop) ADD"}],
    }
    data = json.dumps(config).encode()
    name = hashlib.sha256(data).hexdigest() + ".json"
    manifest = [{"Config": name, "RepoTags": ["old:1"], "Layers": ["abc/layer.tar"]}]
    packed = pack({name: data, "abc/layer.tar": layer, "manifest.json": json.dumps(manifest).encode()})
    assert load(other, gzip.compress(packed)) == ["sha256:" + hashlib.sha256(data).hexdigest()]
    assert other.images.resolve("old:1").config.config.cmd == ["/a"]


def test_loading_twice_changes_nothing(shop: Workshop):
    shop.image("web", a="1")
    before = shop.on_disk()
    load(shop, saved(shop, "web"))
    assert shop.on_disk() == before


def damaged(found: dict[str, bytes], what: str) -> bytes:
    blobs = sorted((n for n in found if n.startswith("blobs/")), key=lambda n: len(found[n]))
    if what == "layer bit":
        data = bytearray(found[blobs[-1]])
        data[512] ^= 1  # the content of the layer's file: a tar has no checksum for that
        found[blobs[-1]] = bytes(data)
    elif what == "layer gone":
        del found[blobs[-1]]
    elif what == "config noise":
        found[json.loads(found["manifest.json"])[0]["Config"]] = b"\0\1\2"
    elif what == "manifest noise":
        found["manifest.json"] = b"[{"
    elif what == "bad name":
        found["manifest.json"] = found["manifest.json"].replace(b"web:latest", b"Web:latest")
    elif what == "no manifest":
        del found["manifest.json"], found["index.json"]
    elif what == "truncated":
        data = pack(found)
        return data[: len(data) // 2]
    elif what == "noise":
        return b"noise" * 1000
    elif what == "empty":
        return b""
    return pack(found)


@pytest.mark.parametrize(
    "what",
    ["layer bit", "layer gone", "config noise", "manifest noise", "bad name", "no manifest", "truncated",
     "noise", "empty"],
)  # fmt: skip
def test_a_damaged_archive_changes_nothing(shop: Workshop, other: Workshop, what: str):
    shop.image("web", a="1", b="2" * 3000)
    data = damaged(members_of(saved(shop, "web")), what)
    mine = other.image("mine", c="3")
    before = other.on_disk()
    with pytest.raises(BadInputError) as caught:
        load(other, data)
    assert "\n" not in caught.value.message
    assert other.on_disk() == before
    assert [image.id for image in other.images.list(all=True)] == [mine.id]


def test_saving_what_is_not_here_writes_nothing(shop: Workshop):
    buffer = io.BytesIO()
    with pytest.raises(NotFoundError):
        archive.save(buffer, ["nothing"], shop.images)
    assert buffer.getvalue() == b""


def test_a_root_file_system_is_imported_with_message_and_changes(shop: Workshop):
    def change(config):  # type: ignore[no-untyped-def]
        config.config.cmd = ["/a"]
        return config

    image = archive.import_tar(
        io.BytesIO(gzip.compress(tar_of(a="1"))),
        shop.images,
        shop.layers,
        name="flat:1",
        message="from a tar",
        change=change,
    )
    assert image.names == ("flat:1",)
    assert image.config.config.cmd == ["/a"]
    assert shop.images.history(image)[0]["Comment"] == "from a tar"
    assert image.stack[0].blob == image.stack[0].diff_id  # kept plain, so a layout has a type for it


def test_a_damaged_root_file_system_is_not_imported(shop: Workshop):
    data = gzip.compress(tar_of(a="1" * 9999))
    with pytest.raises(BadInputError, match="damaged archive"):
        archive.import_tar(io.BytesIO(data[:-20]), shop.images, shop.layers, name="flat")
    assert shop.on_disk() == set()
