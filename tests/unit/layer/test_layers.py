import gzip
import io
import os
import stat
from pathlib import Path

import pytest
from image_workshop import Workshop, tar_of

from cutaway.errors import BadInputError, CutawayError, NotFoundError
from cutaway.layer.diff import Change, changes, write_tar
from cutaway.oci.digest import Digest


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop.at(tmp_path)


def whiteout(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR, 0)


def tar_bytes(folder: Path) -> bytes:
    buffer = io.BytesIO()
    write_tar(folder, buffer)
    return buffer.getvalue()


def half_made(shop: Workshop) -> list[Path]:
    return list((shop.layers.root / ".new").iterdir())


def test_a_compressed_layer_keeps_its_blob_and_has_the_plain_tars_digest(shop: Workshop):
    plain = tar_of(a="1")
    packed = gzip.compress(plain)
    layer = shop.layers.import_tar(io.BytesIO(packed))
    assert layer.diff_id == Digest.of(plain)
    assert layer.blob == Digest.of(packed)
    assert layer.descriptor.media_type.endswith("tar+gzip")
    assert shop.layers.path(layer.diff_id).name == layer.diff_id.hex[:16]
    assert shop.layers.lower(layer.diff_id) == f"{layer.diff_id.hex[:16]}/diff"
    assert shop.layers.size(layer.diff_id) == 1


@pytest.mark.parametrize("claim", ["diff_id", "blob"])
def test_a_layer_with_another_digest_leaves_nothing(shop: Workshop, claim: str):
    with pytest.raises(BadInputError, match="has digest"):
        shop.layers.import_tar(io.BytesIO(tar_of(a="1")), **{claim: Digest.of(b"other")})
    assert shop.on_disk() == set()
    assert half_made(shop) == []


def test_a_layer_whose_blob_is_here_is_unpacked_again(shop: Workshop):
    layer = shop.layer(a="1")
    shop.layers.remove(layer.diff_id)
    with pytest.raises(NotFoundError):
        shop.layers.size(layer.diff_id)
    assert (shop.layers.ensure(layer.diff_id, layer.blob) / "a").read_text() == "1"


def test_an_interrupted_layer_leaves_nothing(shop: Workshop):
    def stop(written: int) -> None:
        raise CutawayError("interrupted")

    with pytest.raises(CutawayError, match="interrupted"):
        shop.layers.import_tar(io.BytesIO(tar_of(a="1")), progress=stop)
    assert shop.on_disk() == set()
    assert half_made(shop) == []


def test_an_upper_directory_becomes_a_layer_without_being_copied(shop: Workshop, tmp_path: Path):
    upper = tmp_path / "upper"
    upper.mkdir(mode=0o755)
    (upper / "f").write_text("content")
    inode = (upper / "f").stat().st_ino
    layer = shop.layers.commit_upper(upper)
    assert not upper.exists()
    assert (shop.layers.diff(layer.diff_id) / "f").stat().st_ino == inode
    assert layer.size == 7
    assert not layer.empty
    assert Digest.of(shop.content.read(layer.blob)) == layer.diff_id


def test_an_empty_upper_directory_gives_the_empty_layer(shop: Workshop, tmp_path: Path):
    (tmp_path / "upper").mkdir()
    assert shop.layers.commit_upper(tmp_path / "upper").empty


def test_a_tar_is_the_same_for_the_same_folder(tmp_path: Path):
    for name, order in (("one", "abc"), ("two", "cba")):
        folder = tmp_path / name
        folder.mkdir()
        for letter in order:
            (folder / letter).write_text(letter)
            os.utime(folder / letter, (5, 5))
    assert tar_bytes(tmp_path / "one") == tar_bytes(tmp_path / "two")


def test_what_a_diff_writes_apply_reads_back(shop: Workshop, tmp_path: Path):
    upper = tmp_path / "upper"
    (upper / "d").mkdir(parents=True)
    (upper / "d/file").write_text("x" * 1000)
    (upper / "d/file").chmod(0o4711)
    os.link(upper / "d/file", upper / "d/hard")
    (upper / "soft").symlink_to("/etc/passwd")
    (upper / ("long" * 60)).write_text("a name of 240 bytes needs a pax header")
    (upper / "ümläut").write_text("")
    (upper / os.fsdecode(b"not\xffutf8")).write_text("")
    whiteout(upper / "gone")
    os.mkfifo(upper / "pipe")
    os.setxattr(upper / "d/file", "user.note", b"\xff\x00\n")
    before = tar_bytes(upper)
    layer = shop.layers.import_tar(io.BytesIO(before))
    unpacked = shop.layers.diff(layer.diff_id)
    assert tar_bytes(unpacked) == before
    assert (unpacked / "d/hard").samefile(unpacked / "d/file")
    assert layer.size == 1000 + 38
    assert os.getxattr(unpacked / "d/file", "user.note") == b"\xff\x00\n"


def test_changes_are_told_as_docker_tells_them(tmp_path: Path):
    low, middle, upper = (tmp_path / name for name in ("low", "middle", "upper"))
    for folder in (low / "etc", middle / "opt", upper / "etc", upper / "new"):
        folder.mkdir(parents=True)
    for path in (low / "etc/a", low / "etc/b", middle / "opt/c"):
        path.write_text("old")
    whiteout(middle / "never")
    (upper / "etc/a").write_text("changed")
    whiteout(upper / "etc/b")
    (upper / "new/f").write_text("12")
    (upper / "never").write_text("a lower layer deleted it, so it is new")
    whiteout(upper / "was-never-there")
    assert list(changes(upper, [middle, low])) == [
        Change("C", "/etc"),
        Change("C", "/etc/a", 7),
        Change("D", "/etc/b"),
        Change("A", "/never", 38),
        Change("A", "/new"),
        Change("A", "/new/f", 2),
    ]


def test_a_folder_made_anew_deletes_what_was_in_it(tmp_path: Path):
    low, upper = tmp_path / "low", tmp_path / "upper"
    (low / "d").mkdir(parents=True)
    (low / "d/old").write_text("")
    (upper / "d").mkdir(parents=True)
    (upper / "d/new").write_text("")
    os.setxattr(upper / "d", "user.overlay.opaque", b"y")
    assert list(changes(upper, [low])) == [Change("C", "/d"), Change("D", "/d/old"), Change("A", "/d/new")]


def test_a_link_in_a_lower_layer_is_not_followed(tmp_path: Path):
    low, upper = tmp_path / "low", tmp_path / "upper"
    low.mkdir()
    (upper / "etc").mkdir(parents=True)
    (low / "etc").symlink_to("/etc")
    (upper / "etc/passwd").write_text("")
    assert list(changes(upper, [low])) == [Change("C", "/etc"), Change("A", "/etc/passwd")]


def test_changes_have_dockers_numbers():
    assert [Change(kind, "/x").to_docker()["Kind"] for kind in "CAD"] == [0, 1, 2]
