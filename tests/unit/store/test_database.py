import sqlite3
import threading
from pathlib import Path

import pytest

from cutaway.errors import ConflictError, CutawayError, NotPermittedError
from cutaway.store.database import Database, ImageRow


@pytest.fixture
def database(tmp_path: Path):
    database = Database(tmp_path / "engine.db")
    yield database
    database.close()


def test_a_container_is_kept_by_id_and_found_by_name(database: Database):
    database.put_container("aa", "web", '{"Id": "aa"}')
    assert database.get_container("aa") == '{"Id": "aa"}'
    assert database.container_named("web") == "aa"
    assert database.containers() == ['{"Id": "aa"}']


def test_putting_a_container_again_replaces_its_json_and_name(database: Database):
    database.put_container("aa", "web", "1")
    database.put_container("bb", "db", "2")
    database.put_container("aa", "shop", "3")
    assert database.container_named("web") is None
    assert database.containers() == ["3", "2"]


def test_a_name_in_use_is_a_conflict_with_dockers_words(database: Database):
    database.put_container("aa", "web", "1")
    with pytest.raises(ConflictError) as caught:
        database.put_container("bb", "web", "2")
    assert caught.value.message == (
        'Conflict. The container name "/web" is already in use by container "aa". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
    assert database.get_container("bb") is None


def test_a_container_takes_its_leases_with_it(database: Database):
    database.put_container("aa", "web", "1")
    assert database.add_lease("bridge", "172.17.0.2", "aa")
    assert not database.add_lease("bridge", "172.17.0.2", "bb")
    database.delete_container("aa")
    assert database.leases("bridge") == {}


def test_a_name_moves_from_one_image_to_another(database: Database):
    for number, image in enumerate(("sha256:a", "sha256:b")):
        database.put_image(ImageRow(image, "sha256:m", "", number))
        database.put_name("web:latest", image, number)
    assert database.image_names() == {"web:latest": "sha256:b"}


def test_deleting_an_image_deletes_its_names_and_cached_steps(database: Database):
    database.put_image(ImageRow("sha256:a", "sha256:m", "", 1))
    database.put_name("web:latest", "sha256:a", 1)
    database.put_cache("key", "sha256:a")
    database.delete_image("sha256:a")
    assert database.image_named("web:latest") is None
    assert database.get_cache("key") is None


def test_ids_are_found_by_prefix(database: Database):
    for image in ("sha256:ab1", "sha256:ab2", "sha256:f00"):
        database.put_image(ImageRow(image, "sha256:m", "", 1))
    assert database.images_starting_with("sha256:ab") == ["sha256:ab1", "sha256:ab2"]
    assert database.images_starting_with("sha256:f") == ["sha256:f00"]


def test_a_transaction_that_fails_leaves_nothing(database: Database):
    def fail_half_way() -> None:
        with database.transaction():
            database.put_container("aa", "web", "1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert database.containers() == []


def test_what_was_written_is_there_after_reopening(tmp_path: Path):
    first = Database(tmp_path / "engine.db")
    first.put_container("aa", "web", "1")
    second = Database(tmp_path / "engine.db")  # the first is not closed, as after SIGKILL
    assert second.containers() == ["1"]
    first.close()
    second.close()


def test_threads_may_write_at_the_same_time(database: Database):
    def write(offset: int) -> None:
        for number in range(50):
            database.put_container(f"{offset + number}", f"n{offset + number}", "x")

    threads = [threading.Thread(target=write, args=(offset,)) for offset in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(database.containers()) == 150


def test_a_damaged_file_is_named(tmp_path: Path):
    path = tmp_path / "engine.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(CutawayError) as caught:
        Database(path)
    assert caught.value.message == f"the engine's state {path} is damaged: file is not a database"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotPermittedError, match="cannot write the engine's state"):
        Database(tmp_path / "file" / "engine.db")


def test_it_is_a_write_ahead_log(database: Database, tmp_path: Path):
    with sqlite3.connect(tmp_path / "engine.db") as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
