"""From a request to a record: what was asked for, filled in from the image, checked. Nothing is made."""

from __future__ import annotations

from cutaway.container import checks, records, sharing, volumes
from cutaway.container.naming import new_id
from cutaway.container.records import Record
from cutaway.container.shelf import Shelf
from cutaway.container.spec import CreateBody, merge_image
from cutaway.settings import Settings
from cutaway.store.images import Image


def draft(
    name: str, body: CreateBody, image: Image, settings: Settings, shelf: Shelf
) -> tuple[Record, list[str]]:
    """The record of a new container and the warnings for its user.

    Raises BadInputError, NotFoundError for another container that it names.
    """
    config, host = merge_image(body.config(), image.config.config), body.host_config
    for wishes in body.networking_config.endpoints_config.values():
        config.mac_address = config.mac_address or (wishes or {}).get("MacAddress") or ""
    warnings = checks.check(config, host, body.networking_config)
    sharing.adopt_names(config, host, shelf)
    record = Record(
        id=new_id(),
        name=name,
        created=records.now(),
        image=str(image.id),
        layers=[str(layer) for layer in image.layers],
        config=config,
        host=host,
        mounts=volumes.mounts_of(config, host, settings.root / "volumes", shelf),
    )
    return record, warnings
