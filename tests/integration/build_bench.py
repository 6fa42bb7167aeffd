"""A builder over a real store and real overlay mounts; RUN is a chroot in private mounts.

What a build does with containers is tested through the engine, in `test_build_engine.py`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import io
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from cutaway.build.executor import Builder
from cutaway.build.mounted import Scratch
from cutaway.build.options import BuildOptions, RunRequest, RunResult
from cutaway.layer.layers import Layers
from cutaway.linux.private_mounts import in_private_mounts
from cutaway.oci.image import ImageConfig, RunConfig
from cutaway.store.content import ContentStore
from cutaway.store.database import Database
from cutaway.store.images import Image, Images

Files = Mapping[str, "str | bytes | tarfile.TarInfo"]


def tar_of(files: Files) -> io.BytesIO:
    """A tar: text and bytes are files, a TarInfo is taken as it is."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                tar.addfile(content)
                continue
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_600_000_000
            info.mode = 0o755 if data.startswith(b"\x7fELF") else 0o644
            tar.addfile(info, io.BytesIO(data))
    stream.seek(0)
    return stream


def link(target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def folder(mode: int = 0o755, uid: int = 0, gid: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, uid, gid
    return info


@dataclasses.dataclass
class Bench:
    """One root folder with a store, a builder, and a base image `base` of busybox on usr-merged folders."""

    root: Path
    runs: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
    messages: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    on_run: Callable[[RunRequest], Awaitable[None]] | None = None

    def __post_init__(self) -> None:
        self.database = Database(self.root / "engine.db")
        content = ContentStore(self.root / "content")
        self.layers = Layers(self.root / "layers", content)
        self.images = Images(self.database, content, self.layers)
        self.builder = Builder(
            self.images, self.layers, self.database, self.run, self.root / "tmp", self.root / "cache"
        )

    def close(self) -> None:
        self.database.close()

    def add_base(self, name: str = "base", extra: Files | None = None) -> Image:
        members: dict[str, str | bytes | tarfile.TarInfo] = {
            "usr/": folder(),
            "usr/bin/": folder(),
            "bin": link("usr/bin"),
            "run/": folder(),
            "var/": folder(),
            "var/run": link("/run"),
            "srv/": folder(0o2770, 7, 8),
            "tmp/": folder(0o1777),
            "etc/passwd": "root:x:0:0::/root:/bin/sh\nann:x:1000:1001::/home:/bin/sh\n",
            "etc/group": "root:x:0:\nann:x:1001:\n",
            "usr/bin/busybox": Path("/usr/bin/busybox").read_bytes(),
            **{f"usr/bin/{name}": link("busybox") for name in ("sh", "cat", "rm")},
            **(extra or {}),
        }
        layer = self.layers.import_tar(tar_of(members))
        config = ImageConfig(config=RunConfig(env=["PATH=/usr/bin:/bin"], cmd=["sh"]))
        return self.images.add(config, [layer], [name])

    def build(self, text: str, files: Files | None = None, **options: Any) -> Image:
        """Build; returns the image. The messages of the last build are in `messages`."""
        return self.images.get(asyncio.run(self.building(text, files, **options)))

    async def building(self, text: str, files: Files | None = None, **options: Any) -> str:
        self.messages = []

        async def emit(message: dict[str, Any]) -> None:
            self.messages.append(message)

        context = tar_of({"Dockerfile": text, **(files or {})})
        return await self.builder.build(BuildOptions(**options), context, emit)

    @property
    def shown(self) -> str:
        """What a client shows of the last build."""
        return "".join(str(message.get("stream", "")) for message in self.messages)

    def steps(self) -> list[dict[str, Any]]:
        """What the views are told of each finished step of the last build."""
        return [message["cutaway"] for message in self.messages if "image" in message.get("cutaway", {})]

    def look(self, image: Image, command: str) -> str:
        """What a shell command prints in the image."""
        return asyncio.run(self._look(image, command))

    async def _look(self, image: Image, command: str) -> str:
        printed: list[bytes] = []

        async def output(data: bytes) -> None:
            printed.append(data)

        async def started(container_id: str) -> None:
            pass

        layers = tuple(str(layer) for layer in image.layers)
        request = RunRequest(str(image.id), layers, ("/bin/sh", "-c", command), ("PATH=/usr/bin:/bin",))
        hook, self.on_run = self.on_run, None
        result = await self.run(request, started, output)
        self.on_run = hook
        self.runs.pop()
        await result.discard()
        return b"".join(printed).decode()

    async def run(
        self,
        request: RunRequest,
        started: Callable[[str], Awaitable[None]],
        output: Callable[[bytes], Awaitable[None]],
    ) -> RunResult:
        """A runner: the command in a chroot of the mounted layers."""
        self.runs.append(request.argv)
        (self.root / "tmp").mkdir(exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix="run-", dir=self.root / "tmp"))

        async def discard() -> None:
            shutil.rmtree(place)

        try:
            await started(os.urandom(32).hex())
            if self.on_run is not None:
                await self.on_run(request)
            scratch = Scratch(place / "scratch")
            scratch.create()
            done = await in_private_mounts(lambda: self._chroot(scratch, request), threading.Event())
            await output(done.stdout)
        except BaseException:
            await discard()
            raise
        return RunResult(done.returncode, scratch.upper, discard)

    def _chroot(self, scratch: Scratch, request: RunRequest) -> subprocess.CompletedProcess[bytes]:
        scratch.mount(self.layers.root, [self.layers.lower(layer) for layer in reversed(request.layers)])
        script = 'cd "$0" && exec "$@"'
        return subprocess.run(
            ["/usr/sbin/chroot", scratch.merged, "/bin/sh", "-c", script, request.working_dir, *request.argv],
            env=dict(text.split("=", 1) for text in request.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            umask=0o022,
        )


def kinds(path: Path) -> dict[str, str]:
    """What is in a layer's folder: relative path -> type and mode."""
    found = {}
    for entry in sorted(path.rglob("*")):
        status = entry.lstat()
        found[str(entry.relative_to(path))] = stat.filemode(status.st_mode)
    return found
