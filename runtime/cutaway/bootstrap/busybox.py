"""`busybox`: a Unix in one file, from the distribution's package `busybox-static`.

The program looks at the name that it was called by (`argv[0]`) and acts as that command; a link per command
makes a system of it. The package's program is linked statically, so the image needs nothing else. It is
taken from the machine when the package is installed, else downloaded with `apt-get download`, which needs
no root.
"""

from __future__ import annotations

import io
import os
import platform
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cutaway.bootstrap import process
from cutaway.bootstrap.hello import ARCHITECTURES
from cutaway.errors import CutawayError, NotPermittedError
from cutaway.layer.layers import Layers
from cutaway.oci.image import History, ImageConfig, RunConfig
from cutaway.store.images import Image, Images

NAME = "busybox:latest"
PACKAGE = "busybox-static"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INSTALLED = (Path("/bin/busybox"), Path("/usr/bin/busybox"))

_FOLDERS = {
    "bin": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "proc": 0o555, "root": 0o700, "run": 0o755,
    "sys": 0o555, "tmp": 0o1777, "usr": 0o755, "usr/bin": 0o755, "usr/sbin": 0o755, "usr/local": 0o755,
    "usr/local/bin": 0o755, "var": 0o755, "var/log": 0o755, "var/spool": 0o755, "var/www": 0o755,
}  # fmt: skip
_FILES = {
    "etc/passwd": (
        "root:x:0:0:root:/root:/bin/sh\n"
        "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
        "www-data:x:33:33:www-data:/var/www:/bin/false\n"
        "nobody:x:65534:65534:nobody:/home:/bin/false\n"
    ),
    "etc/group": "root:x:0:\ndaemon:x:1:\ntty:x:5:\nwww-data:x:33:\nusers:x:100:\nnogroup:x:65534:\n",
    "etc/shadow": "root:*:::::::\ndaemon:*:::::::\nwww-data:*:::::::\nnobody:*:::::::\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/hosts": "",
    "etc/hostname": "",
    "etc/resolv.conf": "",
}


def make(
    images: Images,
    layers: Layers,
    cache: Path,
    progress: Callable[[str, float | None], None],
    cancel: threading.Event | None = None,
) -> Image:
    """Make and name the image; the same package gives the same id.

    Raises NotFoundError when neither the package nor apt-get is there, CutawayError when the download fails.
    """
    progress("download", None)
    binary, built = _binary(cache, cancel)
    progress("unpack", None)
    applets = _applets(binary, cache)
    created = datetime.fromtimestamp(built, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    progress("import", None)
    with images.hold():
        layer = layers.import_tar(io.BytesIO(_tar(binary, applets, built)))
        history = [
            History(created=created, created_by=f"COPY busybox and links / # from the package {PACKAGE}"),
            History(created=created, created_by='CMD ["sh"]', empty_layer=True),
        ]
        config = ImageConfig(
            architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
            created=created,
            config=RunConfig(cmd=["sh"], env=[PATH]),
            history=history,
        )
        return images.add(config, [layer], [NAME])


def _binary(cache: Path, cancel: threading.Event | None) -> tuple[bytes, int]:
    """The program and the time it was built, in seconds since the epoch."""
    for path in INSTALLED:
        if path.is_file() and _is_static(data := path.read_bytes()):
            return data, int(path.stat().st_mtime)
    kept = cache / f"{PACKAGE}-{platform.machine()}"
    if not kept.exists():
        _download(kept, cancel)
    return kept.read_bytes(), int(kept.stat().st_mtime)


def _is_static(program: bytes) -> bool:
    """No program header of type PT_INTERP, so no dynamic linker is asked for: elf(5)."""
    if program[:5] != b"\x7fELF\x02":
        return False
    start, size, count = (
        int.from_bytes(program[32:40], "little"),
        int.from_bytes(program[54:56], "little"),
        int.from_bytes(program[56:58], "little"),
    )
    kinds = (program[start + number * size :][:4] for number in range(count))
    interpreter = 3
    return all(int.from_bytes(kind, "little") != interpreter for kind in kinds)


def _download(target: Path, cancel: threading.Event | None) -> None:
    """Fetch the package with this machine's apt sources and keep its program."""
    apt = process.require("apt-get")
    process.require("dpkg-deb")
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            process.run([apt, "download", PACKAGE], cwd=folder, cancel=cancel)
        except process.CancelledError:
            raise
        except CutawayError:
            # The machine's own package lists are missing or old: fetch them into a folder of our own.
            private = _private_state(folder)
            process.run([apt, *private, "update"], cwd=folder, cancel=cancel)
            process.run([apt, *private, "download", PACKAGE], cwd=folder, cancel=cancel)
        (package,) = folder.glob("*.deb")
        _extract(package, folder / "busybox")
        (folder / "busybox").rename(target)


def _private_state(folder: Path) -> list[str]:
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    return ["-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"]


def _extract(package: Path, target: Path) -> None:
    unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE, check=True)
    with tarfile.open(fileobj=io.BytesIO(unpacked.stdout)) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.name.endswith("bin/busybox") else None
            if file is not None:
                target.write_bytes(file.read())
                os.utime(target, (member.mtime, member.mtime))
                return
    raise CutawayError(f"the package {PACKAGE} holds no busybox", "its layout is not known here")


def _applets(program: bytes, cache: Path) -> list[str]:
    """The commands that this busybox knows, asked of itself."""
    with tempfile.TemporaryDirectory(dir=cache) as name:
        path = Path(name) / "busybox"
        path.write_bytes(program)
        path.chmod(0o755)
        try:
            listed = subprocess.run([path, "--list"], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NotPermittedError(
                f"cannot run the busybox of {PACKAGE}: {error}", f"is {cache} mounted noexec?"
            ) from error
    return sorted(set(listed.stdout.split()) - {"busybox"})


def _tar(program: bytes, applets: list[str], mtime: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:

        def add(
            name: str, mode: int, data: bytes = b"", *, kind: bytes = tarfile.REGTYPE, goal: str = ""
        ) -> None:
            info = tarfile.TarInfo(name)
            info.mode, info.mtime, info.type, info.linkname, info.size = mode, mtime, kind, goal, len(data)
            tar.addfile(info, io.BytesIO(data))

        for name, mode in sorted(_FOLDERS.items()):
            add(name, mode, kind=tarfile.DIRTYPE)
        add("bin/busybox", 0o755, program)
        for applet in applets:
            add(f"bin/{applet}", 0o777, kind=tarfile.SYMTYPE, goal="busybox")
        add("usr/bin/env", 0o777, kind=tarfile.SYMTYPE, goal="../../bin/busybox")
        for name, text in sorted(_FILES.items()):
            add(name, 0o640 if name == "etc/shadow" else 0o644, text.encode())
    return buffer.getvalue()
