"""`debian` or `ubuntu`: the smallest system of this machine's own release, made by the distribution's own
tool.

mmdebstrap (or debootstrap) fetches the essential packages and apt from the machine's mirror and installs
them into a folder. As root it does so in a mount namespace; without, in a user namespace where an id range
is allowed, else by pretending to be root (fakechroot). The result is kept in a cache as a compressed tar,
named by everything that went into it, so that a second engine, or an emptied one, has the image in seconds
and without a mirror.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import zstandard

from cutaway.bootstrap import host, process
from cutaway.bootstrap.busybox import PATH
from cutaway.bootstrap.hello import ARCHITECTURES
from cutaway.errors import NotFoundError, NotPermittedError
from cutaway.layer import diff
from cutaway.layer.layers import Layers
from cutaway.layer.streams import CHUNK, Writable
from cutaway.oci.image import History, ImageConfig, RunConfig
from cutaway.store import describe
from cutaway.store.images import Image, Images

DISTRIBUTIONS = ("debian", "ubuntu")
_STAGES = {
    "running apt-get update": ("download", 0.0),
    "downloading packages": ("download", 0.15),
    "extracting archives": ("unpack", 0.0),
    "installing essential": ("unpack", 0.2),
    "installing remaining": ("unpack", 0.5),
    "cleaning package lists": ("unpack", 0.8),
    "creating tarball": ("unpack", 0.85),
}
# Left out of the image and of what is installed later: what nobody reads in a container.
_DPKG_OPTIONS = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "force-unsafe-io",  # no fsync for each file: what a container holds can be made again
)
_APT_OPTIONS = ('Acquire::Languages "none";',)
_TIDY = (
    'APT::Keep-Downloaded-Packages "false";'  # only in the image: mmdebstrap wants to find what it fetched
)
_POLICY = "#!/bin/sh\n# Nothing starts services while packages are installed in a container.\nexit 101\n"

Progress = Callable[[str, float | None], None]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides what the image will hold."""

    release: host.Release
    machine: str
    sources: tuple[str, ...]
    settings: tuple[str, ...]
    keys: tuple[Path, ...]
    packages: tuple[str, ...]

    @classmethod
    def of_host(cls, release: host.Release) -> Recipe:
        """For this machine. Raises CutawayError when its apt has no sources for its own release."""
        process.require("apt-config")
        sources = host.apt_sources(release.codename)
        secure = any(source.uri.startswith(("https:", "mirror+https:")) for source in sources)
        return cls(
            release,
            platform.machine(),
            tuple(source.line() for source in sources),
            (*_APT_OPTIONS, *host.apt_settings()),
            tuple(host.keys(sources)),
            ("ca-certificates",) if secure else (),
        )

    @property
    def file_name(self) -> str:
        """`debian-bookworm-x86_64-<8 hex>.tar.zst`: another mirror or setting is another file."""
        parts = (
            self.sources,
            self.settings,
            self.packages,
            [str(key) for key in self.keys],
            list(_hooks(self)),
            _DPKG_OPTIONS,
        )
        mark = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]
        return f"{self.release.id}-{self.release.codename}-{self.machine}-{mark}.tar.zst"


def check_name(name: str) -> host.Release:
    """That this machine can make an image of this name. Raises NotPermittedError: names tell the truth."""
    release = host.Release.of_host()
    if release.id == name:
        return release
    hint = f"make {release.id} instead" if release.id in DISTRIBUTIONS else "make busybox instead"
    raise NotPermittedError(f"cannot make {name} on this machine, which is {release.id or 'unknown'}", hint)


def make(
    name: str,
    images: Images,
    layers: Layers,
    caches: list[Path],
    progress: Progress,
    cancel: threading.Event | None = None,
) -> Image:
    """Make and name the image: `debian:latest`, `debian:12`, `debian:bookworm`.

    The first of `caches` that has the file system is used; it is put into all that can be written. Raises
    NotPermittedError on another distribution, NotFoundError when mmdebstrap and debootstrap are missing.
    """
    release = check_name(name)
    recipe = Recipe.of_host(release)
    files = [cache / recipe.file_name for cache in caches]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        found = _bootstrap(recipe, files[0], progress, cancel)
    _share(found, files)
    return _import(recipe, found, images, layers, progress, cancel)


def _bootstrap(recipe: Recipe, target: Path, progress: Progress, cancel: threading.Event | None) -> Path:
    progress("download", 0.0)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".bootstrap-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the ids of a user namespace have to reach what is in it
        packed = folder / target.name
        compressor = zstandard.ZstdCompressor(level=3, threads=-1)
        with packed.open("wb") as file, compressor.stream_writer(file) as tar:
            if shutil.which("mmdebstrap"):
                _mmdebstrap(recipe, folder, tar, progress, cancel)
            else:
                _debootstrap(recipe, folder, tar, progress, cancel)
        packed.rename(target)
    return target


def _mmdebstrap(
    recipe: Recipe, folder: Path, tar: Writable, progress: Progress, cancel: threading.Event | None
) -> None:
    scratch = folder / "scratch"
    scratch.mkdir()
    scratch.chmod(0o1777)
    settings, sources = folder / "apt.conf", folder / "sources.list"
    settings.write_text("\n".join(recipe.settings) + "\n")
    sources.write_text("\n".join(recipe.sources) + "\n")
    argv = ["mmdebstrap", f"--mode={_mode()}", "--variant=minbase", "--format=tar"]
    # Its own policy-rc.d would be removed after the hooks, and ours with it.
    argv += ["--skip=chroot/policy-rc.d", f"--aptopt={settings}"]
    argv += [f"--dpkgopt={option}" for option in _DPKG_OPTIONS]
    argv += [f"--include={package}" for package in recipe.packages]
    argv += [f"--customize-hook={command}" for command in _hooks(recipe)]

    def line(text: str) -> None:
        for beginning, (phase, fraction) in _STAGES.items():
            if text.removeprefix("I: ").startswith(beginning):
                progress(phase, fraction)

    process.run(
        [*argv, recipe.release.codename, "-", str(sources)],
        cancel=cancel,
        line=line,
        data=tar.write,
        environ={"TMPDIR": str(scratch)},
    )


def _hooks(recipe: Recipe) -> Iterator[str]:
    """Shell commands with the new root in `$1`: no trace of this machine but its apt sources."""
    yield ': > "$1/etc/hostname"; : > "$1/etc/resolv.conf"; chmod 644 "$1/etc/hostname" "$1/etc/resolv.conf"'
    yield f'printf %s {shlex.quote(_POLICY)} > "$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"'
    yield 'mv "$1/etc/apt/sources.list.d/0000sources.list" "$1/etc/apt/sources.list" 2>/dev/null || true'
    yield 'mv "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/apt/apt.conf.d/90machine"'
    yield f'echo {shlex.quote(_TIDY)} >> "$1/etc/apt/apt.conf.d/90machine"'
    yield 'mv "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$1/etc/dpkg/dpkg.cfg.d/90container"'
    for key in recipe.keys:
        path, parent = shlex.quote(str(key)), shlex.quote(str(key.parent))
        yield f'test -e "$1"{path} || {{ mkdir -p "$1"{parent}; cat {path} > "$1"{path}; }}'


def _mode() -> str:
    """How mmdebstrap may work here. Raises NotPermittedError when there is no way."""
    if os.geteuid() == 0:
        return "root"
    probe = ["unshare", "--user", "--map-auto", "--map-root-user", "--mount", "true"]
    with contextlib.suppress(OSError):
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return "unshare"
    if shutil.which("fakechroot") and shutil.which("fakeroot"):
        return "fakechroot"
    raise NotPermittedError(
        "cannot make a system without root: no user namespace with an id range and no fakechroot",
        "install it with: apt-get install uidmap fakechroot fakeroot",
    )


def _debootstrap(
    recipe: Recipe, folder: Path, tar: Writable, progress: Progress, cancel: threading.Event | None
) -> None:
    if not shutil.which("debootstrap", path="/usr/sbin:/usr/bin"):
        raise NotFoundError("mmdebstrap is not installed", "install it with: apt-get install mmdebstrap")
    if os.geteuid() != 0:
        raise NotPermittedError("debootstrap needs root", "install it with: apt-get install mmdebstrap")
    root = folder / "root"
    mirror = next(word for word in recipe.sources[0].split() if "://" in word)

    def line(text: str) -> None:
        if text.startswith(("I: Extracting", "I: Unpacking")):
            progress("unpack", None)

    packages = ",".join(("ca-certificates",) if recipe.packages else ())
    argv = ["debootstrap", "--variant=minbase", *([f"--include={packages}"] if packages else [])]
    process.run([*argv, recipe.release.codename, str(root), mirror], cancel=cancel, line=line)
    for command in _debootstrap_finish(recipe):
        subprocess.run(["sh", "-c", command, "sh", str(root)], check=True)
    diff.write_tar(root, tar)


def _debootstrap_finish(recipe: Recipe) -> Iterator[str]:
    yield 'rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/* "$1/var/log/bootstrap.log"'
    for path, lines in (
        ("etc/apt/sources.list", recipe.sources),
        ("etc/apt/apt.conf.d/99mmdebstrap", recipe.settings),
        ("etc/dpkg/dpkg.cfg.d/99mmdebstrap", _DPKG_OPTIONS),
    ):
        yield f'printf "%s\\n" {shlex.join(lines)} > "$1/{path}"'
    yield from _hooks(recipe)


def _share(found: Path, files: list[Path]) -> None:
    """Put the result into the other caches; a cache that cannot be written is no reason to fail."""
    for file in files:
        if file == found or file.exists():
            continue
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            try:
                temporary.hardlink_to(found)
            except OSError:
                shutil.copyfile(found, temporary)
            temporary.rename(file)
        except OSError:
            temporary.unlink(missing_ok=True)


def _import(
    recipe: Recipe,
    file: Path,
    images: Images,
    layers: Layers,
    progress: Progress,
    cancel: threading.Event | None,
) -> Image:
    total = file.stat().st_size
    created = describe.rfc3339(file.stat().st_mtime_ns)  # so the same file gives the same image
    with images.hold(), file.open("rb") as packed:

        def watch(written: int) -> None:
            if cancel is not None and cancel.is_set():
                raise process.CancelledError("interrupted", "nothing was left half made")
            progress("import", min(packed.tell() / total, 1.0))

        reader = zstandard.ZstdDecompressor().stream_reader(packed, read_size=CHUNK)
        layer = layers.import_tar(reader, progress=watch)
        release = recipe.release
        step = f"ADD the packages of {release.id} {release.codename}, variant minbase /"
        config = ImageConfig(
            architecture=ARCHITECTURES.get(recipe.machine, recipe.machine),
            created=created,
            config=RunConfig(cmd=["bash"], env=[PATH]),
            history=[
                History(created=created, created_by=step),
                History(created=created, created_by='CMD ["bash"]', empty_layer=True),
            ],
        )
        tags = dict.fromkeys(("latest", release.version, release.codename))
        return images.add(config, [layer], [f"{release.id}:{tag}" for tag in tags if tag])
