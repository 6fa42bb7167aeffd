"""Files of containers: cp in and out, export, commit."""

from __future__ import annotations

import base64

import msgspec
from aiohttp import web

from cutaway.api.answers import json_answer, no_content
from cutaway.api.images import named
from cutaway.api.importing import changer
from cutaway.api.routing import Answer, Call, Routes
from cutaway.api.transfer import outlet, uploaded
from cutaway.container.committing import CommitOptions
from cutaway.container.moving import PathStat, UnpackOptions
from cutaway.container.spec import Config
from cutaway.errors import BadInputError
from cutaway.oci.image import ImageConfig

routes = Routes()

TAR = "application/x-tar"
STAT_HEADER = "X-Docker-Container-Path-Stat"


@routes.get("/containers/{id}/archive", streaming=True)
async def get(call: Call) -> Answer:
    """`GET` and `HEAD /containers/{id}/archive`: `path`; what is there as a tar, and told in a header."""
    kept, path = call.engine.containers.shelf.find(call["id"]), _path(call)
    headers = {STAT_HEADER: _header(await call.engine.moving.stat(kept, path))}
    if call.request.method == "HEAD":
        return web.Response(headers=headers)
    async with outlet(call, TAR, headers) as out:
        await call.engine.moving.pack(kept, path, out)
    return out.response


@routes.put("/containers/{id}/archive")
async def put(call: Call) -> Answer:
    """`PUT /containers/{id}/archive`: `path`, `noOverwriteDirNonDir`, `copyUIDGID`; the body is a tar."""
    kept, path = call.engine.containers.shelf.find(call["id"]), _path(call)
    options = UnpackOptions(keep_kinds=call.flag("noOverwriteDirNonDir"), own=call.flag("copyUIDGID"))
    async with uploaded(call) as file:
        await call.engine.moving.unpack(kept, path, file, options)
    return no_content(200)


@routes.get("/containers/{id}/export", streaming=True)
async def export(call: Call) -> Answer:
    """`GET /containers/{id}/export`: the whole file system as a tar."""
    kept = call.engine.containers.shelf.find(call["id"])
    call.engine.containers.emit("export", kept.record)
    async with outlet(call, TAR) as out:
        await call.engine.moving.export(kept, out)
    return out.response


@routes.post("/commit")
async def commit(call: Call) -> Answer:
    """`POST /commit`: `container`, `repo`, `tag`, `comment`, `author`, `pause`, `changes`; body: a Config."""
    if not call.text("container"):
        raise BadInputError("no container was named", "add container=NAME")
    raw = await call.request.read()
    override = await call.body(Config) if raw.strip() not in (b"", b"null") else None
    change = changer([line for text in call.request.query.getall("changes", []) for line in text.split("\n")])
    options = CommitOptions(
        name=named(call.text("repo"), call.text("tag")) if call.text("repo") else "",
        message=call.text("comment"),
        author=call.text("author"),
        pause=call.flag("pause", default=True),
        change=lambda config: change(_overridden(config, override)),
    )
    image = await call.engine.committing.commit(call.text("container"), options)
    return json_answer({"Id": str(image.id)}, 201)


def _overridden(config: ImageConfig, override: Config | None) -> ImageConfig:
    """The settings that the body of the request names take the place of the container's."""
    if override is None:
        return config
    given = msgspec.to_builtins(override)
    ours = msgspec.to_builtins(config.config)
    for name in set(type(config.config).__struct_encode_fields__) & set(given):
        if given[name]:
            ours[name] = given[name]
    config.config = msgspec.convert(ours, type(config.config))
    return config


def _path(call: Call) -> str:
    path = call.text("path")
    if not path:
        raise BadInputError("bad parameter: missing path", "add path=/folder")
    return path


def _header(found: PathStat) -> str:
    return base64.b64encode(msgspec.json.encode(found.to_docker())).decode()
