"""A store in a folder, and images made of a few files, for the tests of what works on images."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from cutaway.layer.layers import Layers
from cutaway.oci.image import History, ImageConfig, Layer, RunConfig
from cutaway.store.content import ContentStore
from cutaway.store.database import Database
from cutaway.store.images import Image, Images, Use

CREATED = "2024-05-06T07:08:09Z"


def tar_of(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


@dataclass
class Workshop:
    content: ContentStore
    layers: Layers
    images: Images
    uses: dict[str, list[Use]]

    @classmethod
    def at(cls, folder: Path) -> Workshop:
        content = ContentStore(folder / "content")
        layers = Layers(folder / "layers", content)
        uses: dict[str, list[Use]] = {}
        images = Images(
            Database(folder / "engine.db"), content, layers, lambda image_id: uses.get(image_id, [])
        )
        return cls(content, layers, images, uses)

    def layer(self, **files: str) -> Layer:
        return self.layers.import_tar(io.BytesIO(tar_of(**files)))

    def image(self, *names: str, parent: Image | None = None, created: str = CREATED, **files: str) -> Image:
        below = parent.stack if parent else ()
        steps = list(parent.config.history or []) if parent else []
        config = ImageConfig(
            created=created,
            config=RunConfig(cmd=["/x"], labels={"made": "here"}),
            history=[*steps, History(created=created, created_by=f"COPY {' '.join(files)} /")],
        )
        return self.images.add(config, [*below, self.layer(**files)], names, parent.id if parent else "")

    def on_disk(self) -> set[str]:
        """Every blob and unpacked layer."""
        return {*self.content.walk(), *(f"layer {digest}" for digest in self.layers.walk())}
