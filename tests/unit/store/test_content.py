import hashlib
import json
import os
from pathlib import Path

import pytest

from cutaway.errors import BadInputError, CutawayError, NotFoundError, NotPermittedError
from cutaway.oci.digest import Digest
from cutaway.store.content import ContentStore


@pytest.fixture
def content(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "content")


def names_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_is_put_is_read_by_its_digest(content: ContentStore):
    digest = content.put(b"hello")
    assert digest == "sha256:" + hashlib.sha256(b"hello").hexdigest()
    assert content.read(digest) == b"hello"
    assert content.size(digest) == 5
    assert list(content.walk()) == [digest]


def test_the_folder_is_an_oci_layout(content: ContentStore):
    assert json.loads((content.root / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}


def test_a_writer_that_does_not_commit_leaves_nothing(content: ContentStore):
    before = names_below(content.root)
    with content.writer() as writer:
        writer.write(b"half")
    assert names_below(content.root) == before


def test_a_blob_of_the_wrong_digest_never_becomes_visible(content: ContentStore):
    wanted = Digest.of(b"right")
    with content.writer() as writer:
        writer.write(b"wrong")
        with pytest.raises(BadInputError):
            writer.commit(wanted)
    assert list(content.walk()) == []
    assert list((content.root / "ingest").iterdir()) == []


def test_bits_that_the_disk_lost_are_noticed(content: ContentStore):
    digest = content.put(b"hello")
    content.path(digest).write_bytes(b"hellp")
    with pytest.raises(CutawayError, match=f"blob {digest} is damaged"):
        content.read(digest)


def test_missing_content_is_not_found(content: ContentStore):
    with pytest.raises(NotFoundError):
        content.open(Digest.of(b"x"))
    content.delete(Digest.of(b"x"))


def test_what_a_crash_left_is_swept_at_the_next_start(content: ContentStore):
    (content.root / "ingest" / "tmpabc").write_text("half")
    ContentStore(content.root)
    assert list((content.root / "ingest").iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "sha256:abc", "../../etc/passwd", "sha256:" + "A" * 64, "md5:" + "a" * 32]
)
def test_a_path_is_made_of_digests_only(content: ContentStore, text: str):
    with pytest.raises(BadInputError):
        content.path(text)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(NotPermittedError):
        ContentStore(tmp_path / "content")
