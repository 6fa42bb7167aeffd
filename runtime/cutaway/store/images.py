"""Images: names that point to ids, ids that point to content.

An image's id is the digest of its config, so the same content has the same id on every machine. The database
keeps which ids are here, what they are called and from which other image they were built; everything else is
read from blobs. `index.json` of the content store repeats the names for other tools that read OCI layouts.

What is being loaded or built is not yet part of any image, so a removal at the same moment could take its
layers away. Whoever makes an image does it inside `hold()`: as long as one is held, removed content stays
on the disk.
"""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from cutaway.errors import BadInputError, CutawayError, NotFoundError
from cutaway.oci import image as oci
from cutaway.oci.digest import Digest
from cutaway.oci.image import Descriptor, ImageConfig, Index, Layer, Manifest
from cutaway.oci.reference import Reference, is_id
from cutaway.store import describe, removal
from cutaway.store.content import ContentStore
from cutaway.store.database import Database, ImageRow
from cutaway.store.filters import matching, passes


class LayerStore(Protocol):
    """What images need to know of unpacked layers; `cutaway.layer.layers.Layers` is one."""

    def diff(self, diff_id: str) -> Path:
        """The folder that overlayfs mounts."""

    def size(self, diff_id: str) -> int:
        """Bytes of the files in it."""

    def remove(self, diff_id: str) -> None:
        """Delete it from the disk."""

    def walk(self) -> Iterator[Digest]:
        """Every unpacked layer."""


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """A container that was made from an image."""

    container_id: str
    running: bool


@dataclasses.dataclass(frozen=True)
class Image:
    """An image as it is at this moment: a value, which does not follow later tagging."""

    id: Digest
    config: ImageConfig
    manifest: Digest
    stack: tuple[Layer, ...]
    names: tuple[str, ...]
    parent: str
    """Id of the image that it was built from here; empty for what was loaded or pulled."""

    @property
    def layers(self) -> tuple[Digest, ...]:
        """The digests of the unpacked layers, lowest first."""
        return tuple(layer.diff_id for layer in self.stack)

    @property
    def size(self) -> int:
        """Bytes of all files in all layers."""
        return sum(layer.size for layer in self.stack)

    @property
    def created(self) -> datetime.datetime:
        """When it was made, as its config says; the epoch when that says nothing."""
        return describe.moment(self.config.created)

    @property
    def dangling(self) -> bool:
        """Without a name: Docker shows `<none>`."""
        return not self.names


class Images:
    """The images of one engine. Blocking; safe to use from several threads.

    `used_by(image_id)` tells which containers were made from an image.
    """

    def __init__(
        self,
        database: Database,
        content: ContentStore,
        layers: LayerStore,
        used_by: Callable[[str], Sequence[Use]] = lambda image_id: (),
    ) -> None:
        self.database = database
        self.content = content
        self.layers = layers
        self.used_by = used_by
        self._lock = threading.RLock()
        self._known: dict[str, Image] = {}
        self._holds = 0
        self._blobs_to_check: set[str] = set()
        self._layers_to_check: set[str] = set()
        self._write_index()

    # making

    def add(
        self,
        config: ImageConfig | bytes,
        layers: Sequence[Layer],
        names: Iterable[str] = (),
        parent: str = "",
        *,
        manifest: bytes = b"",
    ) -> Image:
        """Make an image of layers that are here already; give it names.

        An `ImageConfig` gets the layers' digests as its `rootfs`; bytes are kept as they are, so that the
        id of a loaded image stays what it was, and must agree. The same holds for `manifest`. Adding what
        is there only adds the names. Raises BadInputError when config and layers do not agree.
        """
        data = config if isinstance(config, bytes) else _complete(config, layers)
        expected = [str(layer.diff_id) for layer in layers]
        if oci.decode_config(data).rootfs.diff_ids != expected:
            raise BadInputError("the image's config does not list the layers that it comes with")
        with self._lock:
            self._require(layers)
            image_id = self.content.put(data)
            manifest_digest = self.content.put(manifest or _manifest(image_id, len(data), layers))
            with self.database.transaction():
                self.database.put_image(ImageRow(image_id, manifest_digest, parent, time.time_ns()))
                for name in names:
                    self._put_name(image_id, name)
            if names:
                self._write_index()
            return self.get(image_id)

    def tag(self, source: str, target: str) -> Image:
        """Give an image one more name; it is taken from the image that had it.

        Raises NotFoundError for the source and BadInputError for a target that is no name.
        """
        with self._lock:
            image = self.resolve(source)
            self._put_name(image.id, target)
            self._write_index()
            return self.get(image.id)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep every layer and blob on the disk until the block ends, removed or not. May be nested."""
        with self._lock:
            self._holds += 1
        try:
            yield
        finally:
            with self._lock:
                self._holds -= 1
                self._sweep()

    # finding

    def get(self, image_id: str) -> Image:
        """By whole id. Raises NotFoundError."""
        row = self.database.get_image(image_id)
        if row is None:
            raise _no_image(image_id)
        return self._image(row, self.database.image_names())

    def resolve(self, text: str) -> Image:
        """By name, whole id, beginning of an id, or `name@digest`.

        Raises NotFoundError with Docker's text, BadInputError for what is neither and for an ambiguous
        beginning.
        """
        found = self._by_id(text) if is_id(text) else self._by_name(text) or self._by_id(text)
        if found is None:
            raise _no_image(text if is_id(text) else Reference.parse(text).familiar())
        return self.get(found)

    def list(self, *, all: bool = False, filters: Mapping[str, Sequence[str]] | None = None) -> list[Image]:
        """Newest first. Without `all`, the nameless steps between an image and its base are left out.

        Filters as in Docker's `GET /images/json`: dangling, label, reference, before, since. With `reference`
        an image comes with the names that match it only.
        """
        rows, names = self.database.images(), self.database.image_names()
        parents = {row.parent for row in rows}
        images = [self._image(row, names) for row in rows]
        shown = [image for image in images if all or image.names or image.id not in parents]
        shown.sort(key=lambda image: image.created, reverse=True)
        found = [image for image in shown if passes(image, filters or {}, self.resolve)]
        if not (patterns := (filters or {}).get("reference")):
            return found
        return [dataclasses.replace(image, names=matching(image.names, patterns)) for image in found]

    def children(self, image_id: str) -> Sequence[str]:
        """Ids of the images that were built from this one."""
        return [row.id for row in self.database.images() if row.parent == image_id]

    # telling

    def summary(self, image: Image) -> dict[str, Any]:
        """One entry of Docker's `GET /images/json`."""
        return describe.summary(image)

    def inspect(self, image: Image) -> dict[str, Any]:
        """The JSON of Docker's `GET /images/{name}/json`."""
        folders = [self.layers.diff(diff_id) for diff_id in image.layers]
        return describe.inspect(image, folders, self.database.last_tagged_ns(image.id))

    def history(self, image: Image) -> Sequence[dict[str, Any]]:
        """The JSON of Docker's `GET /images/{name}/history`, newest step first."""
        return describe.history(image, self._ancestors(image))

    # removing

    def remove(self, text: str, *, force: bool = False, prune: bool = True) -> Sequence[dict[str, str]]:
        """Take a name away; with its last name the image goes, and with it its nameless parents (`prune`).

        Returns what was done, as Docker does: `{"Untagged": name}` and `{"Deleted": digest}`.
        Raises ConflictError with Docker's texts when a container or another image needs it.
        """
        with self._lock:
            return removal.remove(self, text, force=force, prune=prune)

    def untag(self, reference: str) -> None:
        """Take one name away, whatever becomes of the image. For `remove`."""
        self.database.delete_name(reference)
        self._write_index()

    def forget(self, image: Image) -> Sequence[Digest]:
        """Delete an image that has no names, and what no other image needs. For `remove`.

        Returns the digests of the layers that are gone (or will be, once nobody holds).
        """
        self.database.delete_image(image.id)
        self._known.pop(image.id, None)
        kept = self._kept()
        self._blobs_to_check |= {image.id, image.manifest}
        self.discard(image.stack)
        return [diff_id for diff_id in image.layers if diff_id not in kept]

    def discard(self, layers: Iterable[Layer]) -> None:
        """Delete these layers from the disk as soon as nobody holds, unless an image needs them then."""
        with self._lock:
            for layer in layers:
                self._blobs_to_check.add(layer.blob)
                self._layers_to_check.add(layer.diff_id)
            self._sweep()

    def close(self) -> None:
        """Delete what waits for the end of a hold."""
        with self._lock:
            self._holds = 0
            self._sweep()

    def collect_garbage(self) -> None:
        """Delete what no image needs: what a crash left. Only while nothing is being made."""
        with self._lock:
            kept = self._kept()
            for digest in tuple(self.content.walk()):
                if digest not in kept:
                    self.content.delete(digest)
            for diff_id in tuple(self.layers.walk()):
                if diff_id not in kept:
                    self.layers.remove(diff_id)

    # inside

    def _by_name(self, text: str) -> str | None:
        reference = Reference.parse(text)
        if not reference.digest:
            return self.database.image_named(reference.familiar())
        names = self.database.image_names()
        for row in self.database.images():
            here = {Reference.parse(name).name for name, image in names.items() if image == row.id}
            if row.manifest == reference.digest and reference.name in here:
                return row.id
        return None

    def _by_id(self, text: str) -> str | None:
        prefix = "sha256:" + text.removeprefix("sha256:")
        if prefix == "sha256:" or set(prefix[7:]) - set("0123456789abcdef"):
            return None
        found = self.database.images_starting_with(prefix)
        if len(found) > 1:
            raise BadInputError(
                f"image id {text} is ambiguous: {len(found)} images begin so", "give more digits of the id"
            )
        return found[0] if found else None

    def _image(self, row: ImageRow, names: Mapping[str, str]) -> Image:
        image = self._known.get(row.id) or self._read(row)
        here = tuple(name for name, image_id in names.items() if image_id == row.id)
        return dataclasses.replace(image, names=here, parent=row.parent)

    def _read(self, row: ImageRow) -> Image:
        config = oci.decode_config(self.content.read(row.id))
        manifest = oci.decode_manifest(self.content.read(row.manifest))
        diff_ids = [Digest.parse(text) for text in config.rootfs.diff_ids]
        stack = tuple(
            Layer(diff_id, descriptor, self.layers.size(diff_id))
            for diff_id, descriptor in zip(diff_ids, manifest.layers, strict=True)
        )
        image = Image(Digest(row.id), config, Digest(row.manifest), stack, (), row.parent)
        self._known[row.id] = image
        return image

    def _ancestors(self, image: Image) -> Iterator[Image]:
        names = self.database.image_names()
        row = self.database.get_image(image.parent) if image.parent else None
        while row is not None:
            yield self._image(row, names)
            row = self.database.get_image(row.parent) if row.parent else None

    def _put_name(self, image_id: str, name: str) -> None:
        reference = Reference.parse(name)
        if reference.digest:
            raise BadInputError(
                "refusing to create a tag with a digest reference", f"name it {reference.name}:latest"
            )
        self.database.put_name(reference.familiar(), image_id, time.time_ns())

    def _require(self, layers: Sequence[Layer]) -> None:
        for layer in layers:
            if not self.content.exists(layer.blob) or not self.layers.diff(layer.diff_id).is_dir():
                raise CutawayError(
                    f"layer {layer.diff_id.short} is not here", "load or build the image again"
                )

    def _write_index(self) -> None:
        manifests = []
        rows = {row.id: row for row in self.database.images()}
        for name, image_id in self.database.image_names().items():
            digest = rows[image_id].manifest
            about = {oci.REF_NAME: name}
            manifests.append(Descriptor(oci.MANIFEST, digest, self.content.size(digest), about))
        data = msgspec.json.encode(Index(2, manifests, oci.INDEX))
        path = self.content.root / "index.json"
        if not path.exists() or path.read_bytes() != data:
            self.content.write_file("index.json", data)

    def _kept(self) -> set[str]:
        """Every digest that an image needs: blobs and unpacked layers alike."""
        kept: set[str] = set()
        for row in self.database.images():
            image = self._known.get(row.id) or self._read(row)
            kept |= {image.id, image.manifest, *image.layers, *(layer.blob for layer in image.stack)}
        return kept

    def _sweep(self) -> None:
        if self._holds or not (self._blobs_to_check or self._layers_to_check):
            return
        kept = self._kept()
        for digest in self._blobs_to_check - kept:
            self.content.delete(digest)
        for diff_id in self._layers_to_check - kept:
            self.layers.remove(diff_id)
        self._blobs_to_check.clear()
        self._layers_to_check.clear()


def _complete(config: ImageConfig, layers: Sequence[Layer]) -> bytes:
    diff_ids = [str(layer.diff_id) for layer in layers]
    return msgspec.structs.replace(config, rootfs=oci.RootFs(diff_ids=diff_ids)).encode()


def _manifest(image_id: Digest, size: int, layers: Sequence[Layer]) -> bytes:
    config = Descriptor(oci.CONFIG, str(image_id), size)
    manifest = Manifest(2, config, [layer.descriptor for layer in layers], oci.MANIFEST)
    return msgspec.json.encode(manifest)


def _no_image(text: str) -> NotFoundError:
    return NotFoundError(
        f"No such image: {text}", "images lists what is here; images bootstrap makes busybox and debian"
    )
