"""What containers use, once or as it changes."""

from __future__ import annotations

from cutaway.api.answers import JsonLines, json_answer
from cutaway.api.routing import Answer, Call, Routes

routes = Routes()


@routes.get("/containers/{id}/stats")
async def stats(call: Call) -> Answer:
    """`GET /containers/{id}/stats`: `stream` (true by default), `one-shot`."""
    if not call.flag("stream", default=True):
        return json_answer(await call.engine.stats.once(call["id"], one_shot=call.flag("one-shot")))
    readings = call.engine.stats.stream(call["id"])
    first = await anext(readings)  # an unknown name is told before the answer begins
    lines = JsonLines(call.request)
    await lines.send(first)
    async for reading in readings:
        await lines.send(reading)
    return lines.response
