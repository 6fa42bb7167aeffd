"""Folders that COPY takes files from: the build context, or the file system of another stage.

The context arrives as a tar and is unpacked into a folder below the engine's `tmp`. Paths in it are looked up
as a container would: an absolute link or a `..` starts over at the folder, so nothing outside can be named.
What is copied is hashed for the build cache by name, kind, mode and content, and not by its times: a fresh
checkout of the same files must hit the cache.

Source: Dockerfile reference, "COPY": the context is the root of all sources.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from cutaway.build.failures import DockerfileError
from cutaway.build.ignore import IgnoreFile, has_wildcard, matches
from cutaway.layer import members, streams
from cutaway.layer.apply import safe_path, write_all
from cutaway.layer.streams import Readable
from cutaway.layer.target import Target
from cutaway.linux.files import RootFiles

LARGEST_DOCKERFILE = 4 << 20  # bytes


class Tree:
    """A folder whose paths are looked up inside it; `""` is the folder itself. Blocking."""

    def __init__(self, folder: Path) -> None:
        self.root = RootFiles(folder)

    def close(self) -> None:
        """Let go of the folder."""
        self.root.close()

    def find(self, pattern: str) -> list[str]:
        """The paths that a source of COPY means, sorted. FileNotFoundError for a plain path of nothing."""
        path = _inside(pattern)
        if not has_wildcard(path):
            self.status(path)
            return [path]
        return sorted(found for found, _ in self.walk("") if matches(path, found))

    def status(self, path: str) -> os.stat_result:
        """What is there, links followed. Raises FileNotFoundError."""
        return self.root.stat(path or ".")

    def walk(self, path: str) -> Iterator[tuple[str, os.stat_result]]:
        """Everything below a folder, folders before what is in them, by name. Links are not followed."""
        return self.root.walk(path or ".")

    def digests(self, paths: list[str]) -> dict[str, str]:
        """Path -> digest of kind, mode and content, for each source and all that is below it."""
        found: dict[str, str] = {}
        for path in paths:
            status = self.status(path)
            found[path] = self._digest(path, status, follow=True)
            if stat.S_ISDIR(status.st_mode):
                for child, child_status in self.walk(path):
                    found[child] = self._digest(child, child_status, follow=False)
        return found

    def _digest(self, path: str, status: os.stat_result, *, follow: bool) -> str:
        known = hashlib.sha256(f"{status.st_mode:o} ".encode())
        if stat.S_ISREG(status.st_mode):
            flags = os.O_RDONLY | (0 if follow else os.O_NOFOLLOW)
            with os.fdopen(self.root.open(path, flags), "rb") as file:
                known.update(hashlib.file_digest(file, "sha256").digest())
        elif stat.S_ISLNK(status.st_mode):
            known.update(os.fsencode(self.root.readlink(path)))
        return known.hexdigest()


class BuildContext(Tree):
    """The files that came with a build. The Dockerfile is read before `.dockerignore` is obeyed."""

    @classmethod
    def unpack(cls, source: Readable, folder: Path) -> BuildContext:
        """Unpack a tar, plain or compressed, into an empty folder.

        Owners are not kept (COPY gives its own), devices are left out. Raises BadInputError for a damaged tar
        and a member that leads out of the context.
        """
        with members.damage_told():
            plain, _ = streams.decompressed(source)
            with Target(folder) as target, members.reading(plain) as tar:
                for info in members.members(tar):
                    _place(tar, info, target)
                target.finish()
        return cls(folder)

    def read_dockerfile(self, name: str = "Dockerfile") -> str:
        """The text of the Dockerfile. Raises DockerfileError in Docker's words when it is not there."""
        text = self._text(_inside(name))
        if text is None:
            hint = "is it in the build context, and is its name right? another name goes behind -f"
            raise DockerfileError(f"Cannot locate specified Dockerfile: {name}", hint)
        return text

    def obey_ignore_file(self) -> None:
        """Remove what `.dockerignore` leaves out. Clients do so before they send; not all of them."""
        ignore = IgnoreFile.parse(self._text(".dockerignore") or "")
        if not ignore.rules:
            return
        for path, status in reversed(list(self.walk(""))):
            if not ignore.excludes(path):
                continue
            if not stat.S_ISDIR(status.st_mode):
                self.root.unlink(path)
            elif not self.root.listdir(path):
                self.root.rmdir(path)

    def _text(self, path: str) -> str | None:
        try:
            data = self.root.read(path, LARGEST_DOCKERFILE + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DockerfileError(f"cannot read {path}: {error.strerror}") from error
        if len(data) > LARGEST_DOCKERFILE:
            raise DockerfileError(f"{path} is larger than {LARGEST_DOCKERFILE >> 20} MB")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise DockerfileError(f"{path} is not a text in UTF-8", "save it as UTF-8") from error


def _inside(path: str) -> str:
    """A path as written, relative to the root of a tree; `..` stops there as it does at `/`."""
    return os.path.normpath("/" + path).lstrip("/")


def _place(tar: tarfile.TarFile, info: tarfile.TarInfo, target: Target) -> None:
    path, uid, gid = safe_path(info.name), os.geteuid(), os.getegid()
    if not path:
        return
    if info.isdir():
        target.directory(path, info.mode | 0o700, uid, gid, info.mtime, {})
    elif info.issym():
        target.symlink(path, info.linkname, uid, gid, info.mtime)
    elif info.islnk():
        target.hardlink(path, safe_path(info.linkname))
    elif info.isreg():
        with target.file(path, info.mode, uid, gid, info.mtime, {}) as descriptor:
            content = tar.extractfile(info)
            while content is not None and (data := content.read(streams.CHUNK)):
                write_all(descriptor, data)
