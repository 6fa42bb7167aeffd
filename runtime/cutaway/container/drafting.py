"""From a request to a record: what was asked for, filled in from the image, checked. Nothing is made."""

from __future__ import annotations

from cutaway.container import checks, records, volumes
from cutaway.container.naming import new_id
from cutaway.container.records import Record
from cutaway.container.spec import CreateBody, merge_image
from cutaway.settings import Settings
from cutaway.store.images import Image


def draft(name: str, body: CreateBody, image: Image, settings: Settings) -> tuple[Record, list[str]]:
    """The record of a new container and the warnings for its user. Raises BadInputError."""
    config = merge_image(body.config(), image.config.config)
    warnings = checks.check(config, body.host_config, body.networking_config)
    record = Record(
        id=new_id(),
        name=name,
        created=records.now(),
        image=str(image.id),
        layers=[str(layer) for layer in image.layers],
        config=config,
        host=body.host_config,
        mounts=volumes.mounts_of(config, body.host_config, settings.root / "volumes"),
    )
    return record, warnings
