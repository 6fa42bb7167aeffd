import json

import pytest

from cutaway.errors import BadInputError
from cutaway.oci.digest import Digest
from cutaway.oci.image import History, ImageConfig, RootFs, RunConfig, decode_config, decode_manifest


def test_a_config_survives_writing_and_reading():
    config = ImageConfig(
        created="2024-01-02T03:04:05Z",
        config=RunConfig(cmd=["sh"], env=["A=1"], exposed_ports={"80/tcp": {}}, on_build=["RUN x"]),
        rootfs=RootFs(diff_ids=["sha256:" + "a" * 64]),
        history=[History(created_by="CMD", empty_layer=True)],
    )
    assert decode_config(config.encode()) == config
    assert config.encode() == config.encode()


def test_a_config_has_what_the_specification_requires():
    data = json.loads(ImageConfig().encode())
    assert (data["architecture"], data["os"]) == ("amd64", "linux")
    assert data["rootfs"] == {"type": "layers", "diff_ids": []}


def test_fields_have_the_names_of_the_specification():
    config = RunConfig(working_dir="/x", stop_signal="TERM", exposed_ports={"1/tcp": {}}, user="me")
    data = json.loads(ImageConfig(config=config).encode())["config"]
    assert data == {"User": "me", "ExposedPorts": {"1/tcp": {}}, "WorkingDir": "/x", "StopSignal": "TERM"}


def test_unknown_fields_do_not_disturb():
    assert decode_config(b'{"architecture":"arm64","os":"linux","x":1}').architecture == "arm64"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"history": 3}'])
def test_a_damaged_config_is_bad_input(data: bytes):
    with pytest.raises(BadInputError, match="damaged image config"):
        decode_config(data)


def test_a_manifest_with_a_digest_that_is_a_path_is_refused():
    descriptor = {"mediaType": "x", "digest": "sha256:../../x", "size": 1}
    with pytest.raises(BadInputError, match="invalid digest"):
        decode_manifest(json.dumps({"schemaVersion": 2, "config": descriptor, "layers": []}).encode())


def test_a_digest_is_a_string_and_knows_its_short_form():
    digest = Digest.of(b"")
    assert digest == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest.short == "e3b0c44298fc"
    assert json.dumps([digest]) == f'["{digest!s}"]'
