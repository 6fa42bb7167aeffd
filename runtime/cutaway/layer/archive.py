"""Images as one tar file: `save`, `load`, and `import` of a plain root file system.

There are two forms. Docker's has a `manifest.json` that lists, for each image, its config, its layers' files
and its names. The OCI's is an image layout: `index.json`, and blobs named by digest. What is written here is
both at once, so that any engine reads it. What is read is checked against every digest it claims, and becomes
visible only when all of it is here: a damaged archive changes nothing.
Sources: OCI image-spec, image-layout.md; moby image/spec, "Combined Image JSON".
"""

from __future__ import annotations

import dataclasses
import io
import platform
import posixpath
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

import msgspec

from cutaway.errors import BadInputError, CutawayError
from cutaway.layer import members, streams
from cutaway.layer.layers import Layers
from cutaway.layer.streams import Readable, Writable
from cutaway.oci import image as oci
from cutaway.oci.digest import Digest
from cutaway.oci.image import Descriptor, History, ImageConfig, Index, Layer
from cutaway.oci.reference import Reference, is_id
from cutaway.store import describe
from cutaway.store.content import LAYOUT
from cutaway.store.images import Image, Images

LARGEST_JSON = 8 << 20  # bytes; a config with hundreds of steps has a hundred thousand
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_CONTAINERD_NAME = "io.containerd.image.name"


class Entry(msgspec.Struct, rename="pascal"):
    """One image in Docker's `manifest.json`: paths within the archive."""

    config: str
    layers: list[str]
    repo_tags: list[str] | None = None


class _Found(msgspec.Struct):
    """An image that an archive holds, its layers already taken in."""

    config: bytes
    layers: list[Layer]
    names: list[str]
    manifest: bytes = b""


# reading


def load(source: BinaryIO, images: Images, layers: Layers) -> Sequence[Image]:
    """Take in every image of an archive, plain or compressed; a file that can seek. Blocking.

    Raises BadInputError when it is damaged or no image archive; then nothing has changed.
    """
    with _plain_file(source, layers.root) as file, images.hold():
        taken: list[Layer] = []
        try:
            with members.damage_told(), _Archive(file) as archive:
                found = _docker(archive, images, layers, taken) or _oci(archive, images, layers, taken)
            if not found:
                raise BadInputError(
                    "no image in the archive: neither manifest.json nor index.json",
                    "a root file system without them goes in with the import command",
                )
            for one in found:
                _check_names(one)
        except BaseException:
            images.discard(taken)
            raise
        return [_added(one, images) for one in found]


def _added(one: _Found, images: Images) -> Image:
    """The image with the names that the archive gave it, not those that it had here before."""
    image = images.add(one.config, one.layers, one.names, manifest=one.manifest)
    return dataclasses.replace(image, names=tuple(Reference.parse(name).familiar() for name in one.names))


@contextmanager
def _plain_file(source: BinaryIO, folder: Path) -> Iterator[BinaryIO]:
    """The archive without compression, because its members have to be found in any order."""
    start = source.tell()
    with members.damage_told():
        plain, media_type = streams.decompressed(source)
        if media_type == oci.LAYER:
            source.seek(start)
            yield source
            return
        with tempfile.TemporaryFile(dir=folder) as file:
            while data := plain.read(streams.CHUNK):
                file.write(data)
            file.seek(0)
            yield cast(BinaryIO, file)


class _Archive:
    """Members of a tar by name. Links between them, which old Docker writes, are followed."""

    def __init__(self, file: BinaryIO) -> None:
        self._tar = tarfile.TarFile(fileobj=file, mode="r", tarinfo=members.StrictTarInfo)
        self._members = {posixpath.normpath(info.name): info for info in self._tar}

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def has(self, name: str) -> bool:
        """Whether there is such a member."""
        return name in self._members

    def open(self, name: str) -> IO[bytes]:
        """A member's content. Raises BadInputError."""
        info = self._members.get(posixpath.normpath(name))
        if info is not None and (info.issym() or info.islnk()):
            base = posixpath.dirname(name) if info.issym() else ""
            info = self._members.get(posixpath.normpath(posixpath.join(base, info.linkname)))
        file = self._tar.extractfile(info) if info is not None and info.isreg() else None
        if file is None:
            raise BadInputError(f"damaged archive: it has no {name}", "make or fetch the file again")
        return file

    def json(self, name: str) -> bytes:
        """A small member. Raises BadInputError when it is not small."""
        data = self.open(name).read(LARGEST_JSON + 1)
        if len(data) > LARGEST_JSON:
            raise BadInputError(f"damaged archive: {name} is larger than {LARGEST_JSON} bytes")
        return data

    def blob(self, digest: str) -> str:
        """Where a layout keeps a blob."""
        return f"blobs/sha256/{Digest.parse(digest).hex}"

    def verified(self, digest: str) -> bytes:
        """A small blob that is what its name says."""
        data = self.json(self.blob(digest))
        if Digest.of(data) != digest:
            raise BadInputError(f"damaged archive: blob {digest} has digest {Digest.of(data)}")
        return data


def _docker(archive: _Archive, images: Images, layers: Layers, taken: list[Layer]) -> list[_Found]:
    if not archive.has("manifest.json"):
        return []
    try:
        entries = msgspec.json.decode(archive.json("manifest.json"), type=list[Entry])
    except msgspec.DecodeError as error:
        raise BadInputError(f"damaged archive: manifest.json: {error}") from error
    here = _layers_here(images)
    found = []
    for entry in entries:
        config = archive.json(entry.config)
        diff_ids = oci.decode_config(config).rootfs.diff_ids
        if len(diff_ids) != len(entry.layers):
            raise BadInputError("damaged archive: manifest.json and the config list different layers")
        stack = []
        for diff_id, path in zip(diff_ids, entry.layers, strict=True):
            if diff_id not in here:
                plain, _ = streams.decompressed(archive.open(path))
                here[diff_id] = layers.import_tar(plain, diff_id)
                taken.append(here[diff_id])
            stack.append(here[diff_id])
        found.append(_Found(config, stack, entry.repo_tags or []))
    return found


def _oci(archive: _Archive, images: Images, layers: Layers, taken: list[Layer]) -> list[_Found]:
    if not archive.has("index.json"):
        return []
    here = _layers_here(images)
    by_digest: dict[str, _Found] = {}
    for descriptor in _for_this_machine(oci.decode_index(archive.json("index.json")).manifests):
        for manifest_digest in _manifests(archive, descriptor):
            one = by_digest.get(manifest_digest)
            if one is None:
                one = by_digest[manifest_digest] = _oci_image(archive, manifest_digest, layers, here, taken)
            one.names += [name for name in _names(descriptor) if name not in one.names]
    return list(by_digest.values())


def _manifests(archive: _Archive, descriptor: Descriptor) -> Iterator[str]:
    """The manifest's digest; of an index within the index, that of the image for this machine."""
    if descriptor.media_type not in (oci.INDEX, oci.DOCKER_INDEX):
        yield descriptor.digest
        return
    inner = oci.decode_index(archive.verified(descriptor.digest))
    for chosen in _for_this_machine(inner.manifests)[:1]:
        yield chosen.digest


def _for_this_machine(descriptors: Sequence[Descriptor]) -> Sequence[Descriptor]:
    """Those without a platform, or with this machine's; all of them when none fits."""
    architecture = MACHINES.get(platform.machine(), platform.machine())
    images = [d for d in descriptors if d.platform is None or d.platform.architecture != "unknown"]
    fitting = [d for d in images if d.platform is None or d.platform.architecture in ("", architecture)]
    return fitting or images


def _oci_image(
    archive: _Archive, digest: str, layers: Layers, here: dict[str, Layer], taken: list[Layer]
) -> _Found:
    manifest_data = archive.verified(digest)
    manifest = oci.decode_manifest(manifest_data)
    config = archive.verified(manifest.config.digest)
    diff_ids = oci.decode_config(config).rootfs.diff_ids
    if len(diff_ids) != len(manifest.layers):
        raise BadInputError("damaged archive: the manifest and the config list different layers")
    stack = []
    for diff_id, descriptor in zip(diff_ids, manifest.layers, strict=True):
        known = here.get(diff_id)
        if known is None or known.blob != descriptor.digest:
            known = layers.import_tar(
                archive.open(archive.blob(descriptor.digest)), diff_id, descriptor.digest
            )
            known = here[diff_id] = Layer(known.diff_id, descriptor, known.size)
            taken.append(known)
        stack.append(known)
    return _Found(config, stack, [], manifest_data)


def _names(descriptor: Descriptor) -> list[str]:
    """What the index calls an image. A bare tag, which the specification allows, names nothing here."""
    notes = descriptor.annotations or {}
    name = notes.get(_CONTAINERD_NAME) or notes.get(oci.REF_NAME, "")
    return [name] if ":" in name or "/" in name else []


def _layers_here(images: Images) -> dict[str, Layer]:
    return {layer.diff_id: layer for image in images.list(all=True) for layer in image.stack}


def _check_names(found: _Found) -> None:
    for name in found.names:
        if Reference.parse(name).digest:
            raise BadInputError(f"damaged archive: {name} is not a name that an image can have")


# writing


def save(output: Writable, names: Sequence[str], images: Images) -> None:
    """Write images to a stream. A name without a tag means all of its tags; an id writes no name. Blocking.

    Raises NotFoundError before the first byte when one is not here.
    """
    with images.hold():
        chosen = _chosen(names, images)
        manifests, entries = [], []
        for image, tags in chosen:
            size = images.content.size(image.manifest)
            for tag in tags or [""]:
                notes = {oci.REF_NAME: tag} if tag else None
                manifests.append(Descriptor(oci.MANIFEST, str(image.manifest), size, notes))
            blobs = [f"blobs/sha256/{layer.blob.hex}" for layer in image.stack]
            entries.append(Entry(f"blobs/sha256/{image.id.hex}", blobs, tags))
        _add(output, "oci-layout", LAYOUT)
        _add(output, "index.json", msgspec.json.encode(Index(2, manifests, oci.INDEX)))
        _add(output, "manifest.json", msgspec.json.encode(entries))
        digests = [d for image, _ in chosen for d in (image.manifest, image.id, *_blobs(image))]
        for digest in dict.fromkeys(digests):
            with images.content.open(digest) as file:
                _add_file(output, f"blobs/sha256/{digest.hex}", file, images.content.size(digest))
        output.write(bytes(2 * tarfile.BLOCKSIZE))


def _blobs(image: Image) -> list[Digest]:
    return [layer.blob for layer in image.stack]


def _chosen(names: Sequence[str], images: Images) -> list[tuple[Image, list[str]]]:
    tags: dict[str, list[str]] = {}
    for text in names:
        for image_id, tag in _meant(text, images):
            mine = tags.setdefault(image_id, [])
            if tag and tag not in mine:
                mine.append(tag)
    return [(images.get(image_id), mine) for image_id, mine in tags.items()]


def _meant(text: str, images: Images) -> list[tuple[str, str]]:
    """Image ids with the tags that are wanted of them."""
    if not is_id(text):
        bare = Reference.parse(text, default_tag="")
        every = images.database.image_names()
        if not bare.tag and not bare.digest:
            tags = [name for name in every if Reference.parse(name).name == bare.name]
            if tags:
                return [(every[name], name) for name in tags]
        elif bare.familiar() in every:
            return [(every[bare.familiar()], bare.familiar())]
    return [(images.resolve(text).id, "")]


def _add(output: Writable, name: str, data: bytes) -> None:
    _add_file(output, name, io.BytesIO(data), len(data))


def _add_file(output: Writable, name: str, file: Readable, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    output.write(info.tobuf(tarfile.PAX_FORMAT))
    left = size
    while left:
        data = file.read(min(left, streams.CHUNK))
        if not data:
            raise CutawayError(f"{name} became shorter while it was written")
        output.write(data)
        left -= len(data)
    output.write(bytes(-size % tarfile.BLOCKSIZE))


# a plain root file system


def import_tar(
    source: Readable,
    images: Images,
    layers: Layers,
    *,
    name: str = "",
    message: str = "",
    change: Callable[[ImageConfig], ImageConfig] = lambda config: config,
) -> Image:
    """Make an image of one layer out of a tar of a root file system, plain or compressed. Blocking.

    `change` may set how it runs (`--change`). Raises BadInputError for a damaged tar and a bad name; nothing
    has changed then.
    """
    if name and Reference.parse(name).digest:
        raise BadInputError(f"cannot import digest reference {name}", "give it a name with a tag")
    created = describe.now()
    config = change(
        ImageConfig(
            architecture=MACHINES.get(platform.machine(), platform.machine()),
            created=created,
            comment=message or "Imported from -",
            history=[History(created=created, comment=message or "Imported from -")],
        )
    )
    with images.hold(), members.damage_told():
        plain, _ = streams.decompressed(source)
        layer = layers.import_tar(plain)
        return images.add(config, [layer], [name] if name else [])
