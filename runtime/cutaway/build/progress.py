"""What a build says, in the words of Docker's classic builder.

A client shows the texts under `stream` as they come, so they carry their own line ends. `aux` gives the
image's id to programs. Views read `cutaway`, which other clients skip: the step's number and line, whether
the cache had it and why not.

Source: Docker Engine API, `POST /build`; the texts are those that scripts match on.
"""

from __future__ import annotations

import codecs
from typing import Any

from cutaway.build.failures import BuildFailedError, DockerfileError
from cutaway.build.options import Emit
from cutaway.build.parser import Line
from cutaway.build.records import StepRecord
from cutaway.errors import CutawayError
from cutaway.oci.digest import Digest


class Progress:
    """Tells one build to one client. With `quiet` nothing is said but the image's id at the end."""

    def __init__(self, emit: Emit, *, quiet: bool) -> None:
        self._emit = emit
        self._quiet = quiet
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def say(self, text: str, **facts: Any) -> None:
        """One message; `facts` go under `cutaway`."""
        if not self._quiet:
            await self._emit({"stream": text, **({"cutaway": facts} if facts else {})})

    async def step(self, step: int, total: int, line: Line) -> None:
        """A step begins."""
        text = f"Step {step}/{total} : {line.text}\n"
        place = {"line": line.number, "last_line": line.last, "keyword": line.keyword}
        await self.say(text, step=step, total=total, **place)

    async def running(self, container_id: str) -> None:
        """RUN has its container."""
        self._decoder.reset()
        await self.say(f" ---> Running in {container_id[:12]}\n", container=container_id)

    async def output(self, data: bytes) -> None:
        """What RUN prints. A character may come in two parts."""
        text = self._decoder.decode(data)
        if text:
            await self.say(text, output=True)

    async def removed(self, container_id: str) -> None:
        """The container of RUN is gone."""
        await self.say(f"Removing intermediate container {container_id[:12]}\n")

    async def done(self, record: StepRecord) -> None:
        """A step has its image; none yet after `FROM scratch`."""
        if record.cached:
            await self.say(" ---> Using cache\n")
        short = Digest(record.image).short if record.image else ""
        await self.say(
            f" ---> {short}\n",
            step=record.step,
            line=record.line,
            image=record.image,
            layer=record.layer,
            cached=record.cached,
            reason=record.reason,
            seconds=record.seconds,
        )

    async def built(self, image_id: str, names: list[str]) -> None:
        """The end."""
        if self._quiet:
            await self._emit({"stream": f"{image_id}\n"})
            return
        await self._emit({"aux": {"ID": image_id}})
        await self.say(f"Successfully built {Digest(image_id).short}\n")
        for name in names:
            await self.say(f"Successfully tagged {name}\n")


def failure(error: CutawayError) -> dict[str, Any]:
    """The last message of a build that failed: Docker's `error` and `errorDetail`, and our hint and line."""
    detail: dict[str, Any] = {"message": error.message}
    facts: dict[str, Any] = {"hint": error.hint, "status": error.status}
    if isinstance(error, BuildFailedError):
        facts["line"] = error.line
        if error.code:
            detail["code"] = error.code
    elif isinstance(error, DockerfileError) and error.place is not None:
        facts["line"] = error.place.line
    return {"errorDetail": detail, "error": error.message, "hint": error.hint, "cutaway": facts}
