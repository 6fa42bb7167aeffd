"""When an image may go, and what goes with it: Docker's rules.

Removing by *name* takes the name away; only with the last name the image itself goes. Removing by *id*
takes the image with its one name. A running container always keeps its image. A stopped one keeps it unless
forced, and then only the names go: its layers are what the container consists of. An image that others were
built from stays too. Once an image is gone, its nameless parents, which nothing else needs, go as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutaway.errors import ConflictError
from cutaway.oci.reference import Reference, is_id

if TYPE_CHECKING:
    from cutaway.store.images import Image, Images


def remove(images: Images, text: str, *, force: bool, prune: bool) -> list[dict[str, str]]:
    """See `Images.remove`."""
    image = images.resolve(text)
    by_id = image.id.startswith(text) or image.id.hex.startswith(text)
    done: list[dict[str, str]] = []
    if by_id and _name_of(text) not in image.names:
        _check_removal_by_id(images, image, force=force)
        names = image.names
    else:
        names = (_name_of(text),) if _name_of(text) in image.names else image.names
        _check_last_name(images, image, text, force=force)
    for name in names:
        images.untag(name)
        done.append({"Untagged": name})
    _delete(images, images.get(image.id), done, prune=prune)
    return done


def _name_of(text: str) -> str:
    return text if is_id(text) else Reference.parse(text).familiar()


def _check_last_name(images: Images, image: Image, text: str, *, force: bool) -> None:
    users = images.used_by(image.id)
    if len(image.names) > 1 or not users or force:
        return
    raise ConflictError(
        f'conflict: unable to remove repository reference "{text}" (must force) - '
        f"container {users[0].container_id[:12]} is using its referenced image {image.id.short}",
        f"remove the container first: rm {users[0].container_id[:12]}",
    )


def _check_removal_by_id(images: Images, image: Image, *, force: bool) -> None:
    users = images.used_by(image.id)
    running = [use.container_id[:12] for use in users if use.running]
    if running:
        raise _conflict(
            image,
            "cannot be forced",
            f"image is being used by running container {running[0]}",
            "stop it first",
        )
    if images.children(image.id):
        raise _conflict(image, "cannot be forced", "image has dependent child images", "remove those first")
    if force:
        return
    if len(image.names) > 1:
        raise _conflict(
            image,
            "must be forced",
            "image is referenced in multiple repositories",
            "remove it by one of its names",
        )
    if users:
        stopped = users[0].container_id[:12]
        reason = f"image is being used by stopped container {stopped}"
        raise _conflict(image, "must be forced", reason, f"remove the container first: rm {stopped}")


def _conflict(image: Image, force: str, reason: str, hint: str) -> ConflictError:
    return ConflictError(f"conflict: unable to delete {image.id.short} ({force}) - {reason}", hint)


def _delete(images: Images, image: Image, done: list[dict[str, str]], *, prune: bool) -> None:
    """Delete an image that nothing needs any more, then its parent by the same rule."""
    if image.names or images.used_by(image.id) or images.children(image.id):
        return
    layers = images.forget(image)
    done.append({"Deleted": image.id})
    done.extend({"Deleted": diff_id} for diff_id in reversed(layers))
    if prune and image.parent and images.database.get_image(image.parent):
        _delete(images, images.get(image.parent), done, prune=prune)
