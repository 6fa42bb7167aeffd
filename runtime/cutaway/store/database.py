"""What the engine must not forget, in one SQLite file.

Each method is one transaction: after a crash at any instruction it has happened or it has not. The journal
is a write-ahead log (`WAL`), so readers do not wait for writers; `synchronous=NORMAL` may lose the last
transactions when the power fails, never the file. Containers are kept as the JSON text that their owner made:
this file knows only their id and their name. Big things (layers, blobs) are files beside it, named by digest.
Source: sqlite.org/wal.html, sqlite.org/pragma.html.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cutaway.errors import ConflictError, CutawayError, NotPermittedError

SCHEMA = """
CREATE TABLE IF NOT EXISTS containers (
    id   TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    json TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS images (
    id       TEXT PRIMARY KEY,      -- digest of the config
    manifest TEXT NOT NULL,         -- digest of the manifest
    parent   TEXT NOT NULL,         -- id of the image it was built from, or empty
    added_ns INTEGER NOT NULL       -- when it came into this store
);
CREATE TABLE IF NOT EXISTS image_names (
    reference TEXT PRIMARY KEY,     -- busybox:latest
    image     TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
    tagged_ns INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS build_cache (
    key   TEXT PRIMARY KEY,
    image TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE
);
CREATE TABLE IF NOT EXISTS leases (
    network   TEXT NOT NULL,
    address   TEXT NOT NULL,
    container TEXT NOT NULL,
    PRIMARY KEY (network, address)
);
"""


@dataclasses.dataclass(frozen=True, slots=True)
class ImageRow:
    """What the database knows of an image. Times in nanoseconds since the epoch."""

    id: str
    manifest: str
    parent: str
    added_ns: int


class Database:
    """The engine's state. Safe to use from several threads; each call is one transaction.

    Raises NotPermittedError when the file cannot be made or written, CutawayError when it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._sql = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self._sql.execute("PRAGMA journal_mode=WAL")
            self._sql.execute("PRAGMA synchronous=NORMAL")
            self._sql.execute("PRAGMA foreign_keys=ON")
            self._sql.executescript(SCHEMA)

    def close(self) -> None:
        """Fold the log into the file and let go of it."""
        with self._lock:
            self._sql.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Several calls as one: all of them happen, or none. May be nested; the outermost counts."""
        with self._lock, self._translated():
            if self._sql.in_transaction:
                yield self._sql
                return
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield self._sql
            except BaseException:
                self._sql.execute("ROLLBACK")
                raise
            self._sql.execute("COMMIT")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except (sqlite3.OperationalError, OSError) as error:
            raise NotPermittedError(
                f"cannot write the engine's state {self._path}: {error}",
                "is the root folder writable, and is there room on the disk?",
            ) from error
        except sqlite3.DatabaseError as error:
            raise CutawayError(
                f"the engine's state {self._path} is damaged: {error}",
                "move the root folder away and start again",
            ) from error

    # containers

    def put_container(self, container_id: str, name: str, json: str) -> None:
        """Insert or replace; `name` has no slash. Raises ConflictError (Docker's text) for a name in use."""
        statement = (
            "INSERT INTO containers VALUES (?, ?, ?) "
            "ON CONFLICT(id) DO UPDATE SET name = excluded.name, json = excluded.json"
        )
        with self.transaction() as sql:
            owner = self.container_named(name)
            if owner not in (None, container_id):
                raise ConflictError(
                    f'Conflict. The container name "/{name}" is already in use by container "{owner}". '
                    "You have to remove (or rename) that container to be able to reuse that name.",
                    f"remove it with: rm {name}",
                )
            sql.execute(statement, (container_id, name, json))

    def get_container(self, container_id: str) -> str | None:
        """The JSON of one container by its full id."""
        return self._one("SELECT json FROM containers WHERE id = ?", container_id)

    def container_named(self, name: str) -> str | None:
        """The id of the container with this name."""
        return self._one("SELECT id FROM containers WHERE name = ?", name)

    def containers(self) -> list[str]:
        """The JSON of every container, in the order of creation."""
        return [row[0] for row in self._all("SELECT json FROM containers ORDER BY rowid")]

    def delete_container(self, container_id: str) -> None:
        """Forget a container and its leases. No error when it is not there."""
        with self.transaction() as sql:
            sql.execute("DELETE FROM containers WHERE id = ?", (container_id,))
            sql.execute("DELETE FROM leases WHERE container = ?", (container_id,))

    # addresses

    def add_lease(self, network: str, address: str, container_id: str) -> bool:
        """Take an address. False when it is taken already."""
        with self.transaction() as sql:
            values = (network, address, container_id)
            return sql.execute("INSERT OR IGNORE INTO leases VALUES (?, ?, ?)", values).rowcount == 1

    def leases(self, network: str) -> dict[str, str]:
        """Address -> container id."""
        return dict(self._all("SELECT address, container FROM leases WHERE network = ?", network))

    def delete_lease(self, network: str, address: str) -> None:
        """Give an address back. No error when nobody has it."""
        with self.transaction() as sql:
            sql.execute("DELETE FROM leases WHERE network = ? AND address = ?", (network, address))

    def delete_leases(self, container_id: str) -> None:
        """Give back every address of a container."""
        with self.transaction() as sql:
            sql.execute("DELETE FROM leases WHERE container = ?", (container_id,))

    # images

    def put_image(self, row: ImageRow) -> None:
        """Insert; one that is there keeps its time, and its parent unless it had none."""
        statement = (
            "INSERT INTO images VALUES (?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET "
            "parent = CASE WHEN images.parent = '' THEN excluded.parent ELSE images.parent END"
        )
        with self.transaction() as sql:
            sql.execute(statement, (row.id, row.manifest, row.parent, row.added_ns))

    def images(self) -> list[ImageRow]:
        """Every image, newest in this store first."""
        return [ImageRow(*row) for row in self._all("SELECT * FROM images ORDER BY added_ns DESC, id")]

    def get_image(self, image_id: str) -> ImageRow | None:
        """One image by its whole id."""
        rows = self._all("SELECT * FROM images WHERE id = ?", image_id)
        return ImageRow(*rows[0]) if rows else None

    def images_starting_with(self, prefix: str) -> list[str]:
        """Ids that begin so, `sha256:` included."""
        upper = prefix + "g"  # the letter after the last hex digit
        query = "SELECT id FROM images WHERE id >= ? AND id < ? ORDER BY id"
        return [row[0] for row in self._all(query, prefix, upper)]

    def delete_image(self, image_id: str) -> None:
        """Forget an image, its names and what the build cache holds of it."""
        with self.transaction() as sql:
            sql.execute("DELETE FROM images WHERE id = ?", (image_id,))

    def put_name(self, reference: str, image_id: str, tagged_ns: int) -> None:
        """Let a name point to an image; it leaves the image that it pointed to before."""
        with self.transaction() as sql:
            sql.execute(
                "INSERT OR REPLACE INTO image_names VALUES (?, ?, ?)", (reference, image_id, tagged_ns)
            )

    def image_named(self, reference: str) -> str | None:
        """The id that a name points to."""
        return self._one("SELECT image FROM image_names WHERE reference = ?", reference)

    def image_names(self) -> dict[str, str]:
        """Name -> image id, sorted by name."""
        return dict(self._all("SELECT reference, image FROM image_names ORDER BY reference"))

    def last_tagged_ns(self, image_id: str) -> int:
        """When the image got its newest name; 0 when it has none."""
        rows = self._all("SELECT COALESCE(MAX(tagged_ns), 0) FROM image_names WHERE image = ?", image_id)
        return int(rows[0][0])

    def delete_name(self, reference: str) -> None:
        """Take a name away from its image."""
        with self.transaction() as sql:
            sql.execute("DELETE FROM image_names WHERE reference = ?", (reference,))

    # build cache

    def put_cache(self, key: str, image_id: str) -> None:
        """Remember which image a build step made. `key` is the digest of the step's inputs."""
        with self.transaction() as sql:
            sql.execute("INSERT OR REPLACE INTO build_cache VALUES (?, ?)", (key, image_id))

    def get_cache(self, key: str) -> str | None:
        """The id of the image that this step made before, when it is still there."""
        return self._one("SELECT image FROM build_cache WHERE key = ?", key)

    def clear_cache(self) -> int:
        """Forget every build step; says how many."""
        with self.transaction() as sql:
            return sql.execute("DELETE FROM build_cache").rowcount

    def _one(self, query: str, *values: object) -> str | None:
        rows = self._all(query, *values)
        return rows[0][0] if rows else None

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock, self._translated():
            return self._sql.execute(query, values).fetchall()
