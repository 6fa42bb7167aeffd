"""`docker import`: a root file system in a tar becomes an image of one layer.

How it is to be run may be said in the words of a Dockerfile (`changes`): they are read by the builder's own
grammar, so that they mean the same here and there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from cutaway.api.answers import JsonLines
from cutaway.api.routing import Answer, Call
from cutaway.api.transfer import uploaded
from cutaway.build.changes import Changer
from cutaway.build.grammar import read_dockerfile
from cutaway.build.instructions import (
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from cutaway.build.state import StageState
from cutaway.errors import BadInputError
from cutaway.layer import archive
from cutaway.oci.image import ImageConfig

_ALLOWED = (Cmd, Entrypoint, Env, Expose, Healthcheck, Label, StopSignal, User, Volume, Workdir)


async def import_image(call: Call, name: str) -> Answer:
    """`POST /images/create?fromSrc=-`: `repo`, `tag`, `message`, `changes`; the tar is the body."""
    if call.text("fromSrc") != "-":
        raise BadInputError(
            f"cannot fetch {call.text('fromSrc')}", "download it first and send it as the standard input"
        )
    engine, lines = call.engine, JsonLines(call.request)
    change = changer(call.request.query.getall("changes", []))
    async with uploaded(call) as file:
        image = await asyncio.to_thread(
            archive.import_tar,
            file,
            engine.images,
            engine.layers,
            name=name,
            message=call.text("message"),
            change=change,
        )
    engine.events.emit("image", "import", str(image.id), {"name": name or str(image.id)})
    await lines.send({"status": str(image.id)})
    return lines.response


def changer(changes: Sequence[str]) -> Callable[[ImageConfig], ImageConfig]:
    """A function that follows the instructions. Raises BadInputError for a wrong one."""
    if not any(text.strip() for text in changes):
        return lambda config: config
    program = read_dockerfile("FROM scratch\n" + "\n".join(changes) + "\n", "--change")
    instructions = program.stages[0].instructions
    wrong = [one.keyword for one in instructions if not isinstance(one, _ALLOWED)]
    wrong += ["FROM" for _ in program.stages[1:]]
    if wrong:
        raise BadInputError(
            f"{wrong[0]} is not a valid change command",
            "changes are: " + ", ".join(kind.__name__.upper() for kind in _ALLOWED),
        )

    def change(config: ImageConfig) -> ImageConfig:
        state = StageState(None, config, [])
        follow = Changer(state, program.escape, {}, {}, set())
        for instruction in instructions:
            follow.change(instruction)
        return state.config

    return change
