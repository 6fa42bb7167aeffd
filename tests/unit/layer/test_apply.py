import gzip
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
import zstandard

from cutaway.errors import BadInputError
from cutaway.layer.apply import Applied, apply, safe_path
from cutaway.layer.streams import decompressed
from cutaway.layer.target import opaque_attribute


def tar_of(*members: tuple[str, dict[str, object]], data: bytes = b"") -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, about in members:
            info = tarfile.TarInfo(name)
            info.uid, info.gid = os.getuid(), os.getgid()
            content = data
            for key, value in about.items():
                if key == "content":
                    content = value  # type: ignore[assignment]
                else:
                    setattr(info, key, value)
            info.size = len(content) if info.type == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def link(target: str, kind: bytes = tarfile.SYMTYPE) -> dict[str, object]:
    return {"type": kind, "linkname": target}


FOLDER: dict[str, object] = {"type": tarfile.DIRTYPE, "mode": 0o755}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "layer"
    folder.mkdir()
    return folder


def test_files_folders_and_links_come_out_as_they_went_in(folder: Path):
    archive = tar_of(
        ("d/", {"type": tarfile.DIRTYPE, "mode": 0o750, "mtime": 1000}),
        ("d/f", {"mode": 0o4755, "mtime": 2000, "content": b"hello"}),
        ("d/hard", link("d/f", tarfile.LNKTYPE)),
        ("d/soft", link("/etc/passwd")),
        ("p", {"type": tarfile.FIFOTYPE, "mode": 0o600}),
    )
    done = apply(archive, folder)
    assert done == Applied(size=5, members=5)
    assert (folder / "d/f").read_bytes() == b"hello"
    assert stat.S_IMODE((folder / "d/f").stat().st_mode) == 0o4755
    assert (folder / "d/f").stat().st_mtime == 2000
    assert (folder / "d").stat().st_mtime == 1000
    assert stat.S_IMODE((folder / "d").stat().st_mode) == 0o750
    assert (folder / "d/hard").samefile(folder / "d/f")
    assert (folder / "d/soft").readlink() == Path("/etc/passwd")
    assert (folder / "p").is_fifo()


def test_a_deleted_file_becomes_a_whiteout(folder: Path):
    apply(tar_of(("d/", FOLDER), ("d/.wh.gone", {})), folder)
    found = (folder / "d/gone").lstat()
    assert stat.S_ISCHR(found.st_mode)
    assert found.st_rdev == 0
    assert [path.name for path in (folder / "d").iterdir()] == ["gone"]


def test_an_emptied_folder_becomes_opaque(folder: Path):
    apply(tar_of(("d/", FOLDER), ("d/.wh..wh..opq", {}), ("d/new", {})), folder)
    assert os.getxattr(folder / "d", opaque_attribute()) == b"y"
    assert [path.name for path in (folder / "d").iterdir()] == ["new"]


def test_a_folder_that_replaces_a_deleted_name_is_opaque(folder: Path):
    apply(tar_of((".wh.d", {}), ("d/", FOLDER)), folder)
    assert os.getxattr(folder / "d", opaque_attribute()) == b"y"


def test_the_bookkeeping_of_aufs_is_left_out(folder: Path):
    apply(tar_of((".wh..wh.plnk", FOLDER)), folder)
    assert list(folder.iterdir()) == []


def test_a_later_member_replaces_an_earlier_one(folder: Path):
    apply(tar_of(("a", {"content": b"1"}), ("a/", FOLDER), ("a/b", {}), ("a", {"content": b"2"})), folder)
    assert (folder / "a").read_bytes() == b"2"


def test_missing_parents_are_made(folder: Path):
    apply(tar_of(("a/b/c", {"content": b"x"})), folder)
    assert (folder / "a/b/c").read_bytes() == b"x"
    assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o755


def test_holes_stay_holes(folder: Path):
    archive = io.BytesIO()
    source = folder.parent / "sparse"
    with source.open("wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 20)
        file.write(b"end")
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        # what GNU tar --sparse writes: type S, a map with one piece at 1 MiB
        info = tarfile.TarInfo("sparse")
        info.type, info.size = tarfile.GNUTYPE_SPARSE, 3
        block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        block[386:410] = b"%011o\0%011o\0" % (1 << 20, 3)
        block[483:495] = b"%011o\0" % ((1 << 20) + 3)
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        tar.fileobj.write(bytes(block) + b"end".ljust(512, b"\0"))  # type: ignore[union-attr]
    archive.seek(0)
    apply(archive, folder)
    assert (folder / "sparse").read_bytes() == source.read_bytes()
    assert (folder / "sparse").stat().st_blocks * 512 < 1 << 19


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/../out", "a/.."])
def test_a_member_that_leads_out_is_refused(folder: Path, name: str):
    with pytest.raises(BadInputError, match="leads out of the layer"):
        apply(tar_of((name, {"content": b"x"})), folder)
    assert not (folder.parent / "out").exists()


def test_nothing_is_written_through_a_link_that_leads_out(folder: Path):
    outside = folder.parent / "outside"
    outside.mkdir()
    for number, target in enumerate((str(outside), "../outside")):
        archive = tar_of((f"l{number}", link(target)), (f"l{number}/evil", {"content": b"x"}))
        try:
            apply(archive, folder)
        except BadInputError:
            pass
    assert list(outside.iterdir()) == []


def test_a_file_replaces_a_link_and_does_not_follow_it(folder: Path):
    victim = folder.parent / "victim"
    victim.write_text("safe")
    apply(tar_of(("f", link(str(victim))), ("f", {"content": b"mine"})), folder)
    assert victim.read_text() == "safe"
    assert (folder / "f").read_bytes() == b"mine"


def test_a_hard_link_to_something_outside_is_refused(folder: Path):
    (folder.parent / "victim").write_text("safe")
    with pytest.raises(BadInputError, match="leads out of the layer"):
        apply(tar_of(("f", link("../victim", tarfile.LNKTYPE))), folder)
    with pytest.raises(BadInputError, match="not in the layer"):
        apply(tar_of(("f", link("/victim", tarfile.LNKTYPE))), folder)


def test_overlayfs_attributes_of_strangers_are_not_set(folder: Path):
    headers = {"SCHILY.xattr." + opaque_attribute(): "y"}
    apply(tar_of(("d/", {**FOLDER, "pax_headers": headers})), folder)
    assert opaque_attribute() not in os.listxattr(folder / "d")


@pytest.mark.parametrize("cut", [1, 511, 513, 700, 1030])
def test_a_truncated_archive_is_damaged(folder: Path, cut: int):
    data = tar_of(("a", {"content": b"x" * 600}), ("b", {})).getvalue()
    with pytest.raises(BadInputError, match="damaged archive"):
        apply(io.BytesIO(data[:cut]), folder)


def test_a_broken_header_in_the_middle_is_damaged_not_the_end(folder: Path):
    data = bytearray(tar_of(("a", {}), ("b", {})).getvalue())
    data[600] ^= 0xFF
    with pytest.raises(BadInputError, match="damaged archive"):
        apply(io.BytesIO(bytes(data)), folder)


def test_noise_is_damaged(folder: Path):
    with pytest.raises(BadInputError, match="damaged archive"):
        apply(io.BytesIO(os.urandom(4096)), folder)


def test_a_giant_extended_header_is_not_read_into_memory(folder: Path):
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    with pytest.raises(BadInputError, match="extended header of 1099511627776 bytes"):
        apply(io.BytesIO(info.tobuf(tarfile.GNU_FORMAT)), folder)


def test_progress_may_stop_it(folder: Path):
    def stop(written: int) -> None:
        raise InterruptedError(4, "stopped")

    archive = tar_of(("a", {}), ("b", {}))
    with pytest.raises(InterruptedError):
        apply(archive, folder, stop)
    assert not (folder / "b").exists()


def test_compression_is_told_by_the_first_bytes():
    data = b"some bytes that repeat " * 1000
    zstd = zstandard.ZstdCompressor().compress(data)
    for packed, kind in ((data, "tar"), (gzip.compress(data), "tar+gzip"), (zstd, "tar+zstd")):
        stream, media_type = decompressed(io.BytesIO(packed))
        read = b"".join(iter(lambda stream=stream: stream.read(1000), b""))  # type: ignore[misc]
        assert read == data
        assert media_type == f"application/vnd.oci.image.layer.v1.{kind}"


@pytest.mark.parametrize(
    ("name", "path"), [("./", ""), ("/", ""), ("./a//b/", "a/b"), ("/etc/x", "etc/x"), ("..a/b..", "..a/b..")]
)
def test_paths_are_made_relative(name: str, path: str):
    assert safe_path(name) == path
