"""Images: list, look at, name, remove, load, save, import.

Pulling is Docker's `POST /images/create`. No registry is within reach of this engine yet; what it can make
by itself (`hello-world`, and `busybox` and `debian` from the distribution's packages) it makes, and says so.
"""

from __future__ import annotations

import asyncio

from cutaway.api.answers import JsonLines, json_answer, no_content
from cutaway.api.bootstrapping import get_image
from cutaway.api.importing import import_image
from cutaway.api.routing import Answer, Call, Routes
from cutaway.api.transfer import download, uploaded
from cutaway.errors import CutawayError
from cutaway.layer import archive
from cutaway.oci.reference import Reference

routes = Routes()


@routes.get("/images/json")
async def listing(call: Call) -> Answer:
    """`GET /images/json`: `all`, `filters`."""
    images = call.engine.images
    found = await asyncio.to_thread(images.list, all=call.flag("all"), filters=call.filters())
    return json_answer([images.summary(image) for image in found])


@routes.get("/images/{name*}/json")
async def inspect(call: Call) -> Answer:
    """`GET /images/{name}/json`."""
    images = call.engine.images
    return json_answer(images.inspect(images.resolve(call["name"])))


@routes.get("/images/{name*}/history")
async def history(call: Call) -> Answer:
    """`GET /images/{name}/history`: newest step first."""
    images = call.engine.images
    return json_answer(images.history(images.resolve(call["name"])))


@routes.post("/images/{name*}/tag")
async def tag(call: Call) -> Answer:
    """`POST /images/{name}/tag`: `repo`, `tag`."""
    target = named(call.text("repo"), call.text("tag"))
    image = await asyncio.to_thread(call.engine.images.tag, call["name"], target)
    call.engine.events.emit("image", "tag", image.id, {"name": Reference.parse(target).familiar()})
    return no_content(201)


@routes.delete("/images/{name*}")
async def remove(call: Call) -> Answer:
    """`DELETE /images/{name}`: `force`, `noprune`; says what was untagged and what deleted."""
    engine = call.engine
    image = engine.images.resolve(call["name"])
    done = await asyncio.to_thread(
        engine.images.remove, call["name"], force=call.flag("force"), prune=not call.flag("noprune")
    )
    for deed in done:
        if "Untagged" in deed:
            engine.events.emit("image", "untag", image.id, {"name": deed["Untagged"]})
        elif deed["Deleted"] == image.id:
            engine.events.emit("image", "delete", image.id, {"name": str(image.id)})
    return json_answer(done)


@routes.post("/images/prune")
async def prune(call: Call) -> Answer:
    """`POST /images/prune`: removes the nameless; with `dangling=false` all that no container uses."""
    images = call.engine.images
    everything = "false" in call.filters().get("dangling", [])
    done: list[dict[str, str]] = []
    freed = 0
    for image in images.list():
        if images.used_by(image.id) or not (everything or image.dangling):
            continue
        for name in image.names or (str(image.id),):
            done += await asyncio.to_thread(images.remove, name)
        freed += image.size
    return json_answer({"ImagesDeleted": done, "SpaceReclaimed": freed})


@routes.post("/images/load", streaming=True)
async def load(call: Call) -> Answer:
    """`POST /images/load`: a tar of `docker save` or an OCI layout; says what was loaded."""
    engine, lines = call.engine, JsonLines(call.request)
    async with uploaded(call) as file:
        loaded = await asyncio.to_thread(archive.load, file, engine.images, engine.layers)
    for image in loaded:
        for name in image.names or (None,):
            told = f"Loaded image: {name}" if name else f"Loaded image ID: {image.id}"
            await lines.send({"stream": told + "\n"})
        engine.events.emit("image", "load", image.id, {"name": str(image.id)})
    await lines.open()
    return lines.response


@routes.get("/images/get", streaming=True)
async def save_many(call: Call) -> Answer:
    """`GET /images/get?names=a&names=b`: one tar of several images."""
    return await _save(call, call.request.query.getall("names", []))


@routes.get("/images/{name*}/get", streaming=True)
async def save(call: Call) -> Answer:
    """`GET /images/{name}/get`: a tar that `load` and other engines read."""
    return await _save(call, [call["name"]])


async def _save(call: Call, names: list[str]) -> Answer:
    images = call.engine.images
    for name in names:
        images.resolve(name)  # an unknown name is an error, not half a tar
    return await download(call, lambda file: archive.save(file, names, images), "application/x-tar")


@routes.post("/images/create", streaming=True)
async def create(call: Call) -> Answer:
    """`POST /images/create`: `fromSrc=-` imports the tar in the body, `fromImage` gets an image by name."""
    if call.text("fromSrc"):
        name = named(call.text("repo"), call.text("tag")) if call.text("repo") else ""
        return await import_image(call, name)
    wanted = named(call.text("fromImage"), call.text("tag"))
    lines = JsonLines(call.request)
    try:
        await get_image(call.engine, wanted, lines)
    except CutawayError as error:
        await lines.fail(error)
    return lines.response


def named(repository: str, tag: str) -> str:
    """`repo` and `tag` of a query as one reference; `tag` may be a digest."""
    if not tag:
        return repository
    return f"{repository}@{tag}" if tag.startswith("sha256:") else f"{repository}:{tag}"
