"""Builds: a context as a tar in the body, a Dockerfile in it, and a stream of what happens.

This is Docker's classic builder: the client packs the folder, the engine unpacks it, runs the instructions
and tells each step as a line of JSON. The stock client uses it with `DOCKER_BUILDKIT=0`, docker-py always. A
client that goes away ends the build: the handler is cancelled, and the builder undoes what was half made.
"""

from __future__ import annotations

from cutaway.api.answers import JsonLines, json_answer
from cutaway.api.routing import Answer, Call, Routes, query_json
from cutaway.api.transfer import uploaded
from cutaway.build.options import BuildOptions
from cutaway.build.progress import failure
from cutaway.errors import BadInputError, CutawayError

routes = Routes()

_NUMBERS = {
    "memory": "Memory",
    "memswap": "MemorySwap",
    "cpushares": "CpuShares",
    "cpuperiod": "CpuPeriod",
    "cpuquota": "CpuQuota",
    "shmsize": "ShmSize",
}


@routes.post("/build", streaming=True)
async def build(call: Call) -> Answer:
    """`POST /build`: `t`, `dockerfile`, `nocache`, `buildargs`, `labels`, `target`, `rm`, `q`, limits.

    What is wrong before the first step is told by status, later by the stream's last line.
    """
    options = build_options(call)
    lines = JsonLines(call.request)
    async with uploaded(call) as context:
        try:
            await call.engine.builder.build(options, context, lines.send)
        except CutawayError as error:
            if not lines.response.prepared:
                raise
            await lines.send(failure(error))
    await lines.open()
    return lines.response


def build_options(call: Call) -> BuildOptions:
    """The query as values. Raises BadInputError for what this builder does not do."""
    if call.text("version", "1") != "1":
        raise BadInputError("BuildKit builds are not supported", "set DOCKER_BUILDKIT=0 for the stock client")
    if call.text("remote"):
        raise BadInputError(
            "a build context cannot be fetched from elsewhere", "send it as a tar in the body"
        )
    limits = {name: call.number(name) for name in _NUMBERS}
    return BuildOptions(
        tags=tuple(tag for tag in call.request.query.getall("t", []) if tag),
        dockerfile=call.text("dockerfile") or "Dockerfile",
        no_cache=call.flag("nocache"),
        arguments=query_json(call, "buildargs") or {},
        labels=query_json(call, "labels") or {},
        target=call.text("target"),
        remove=call.flag("rm", default=True),
        quiet=call.flag("q"),
        network=call.text("networkmode"),
        limits={_NUMBERS[name]: value for name, value in limits.items() if value},
    )


@routes.post("/build/prune")
async def prune(call: Call) -> Answer:
    """`POST /build/prune`: forgets which steps were built before."""
    count = call.engine.database.clear_cache()
    call.engine.events.emit("builder", "prune", "", {"reclaimed": "0"})
    return json_answer({"CachesDeleted": [], "SpaceReclaimed": 0, "Forgotten": count})
