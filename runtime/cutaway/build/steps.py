"""One step: what goes into it, and doing it.

`prepare` finds the inputs that the cache asks for, and `work` does what could not be found there. RUN gets a
container, COPY and WORKDIR a thread in which the image is mounted (`cutaway.build.mounted`), and all others
are settings only (`cutaway.build.changes`). A folder of changes becomes a layer by being renamed; an empty
one becomes none.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from typing import Protocol

from cutaway.build.cache import Inputs
from cutaway.build.changes import Changer
from cutaway.build.copy_step import CopyStep
from cutaway.build.copying import open_folder
from cutaway.build.failures import BuildFailedError
from cutaway.build.instructions import Copy, Instruction, Run, Workdir
from cutaway.build.options import RunRequest, RunResult
from cutaway.build.state import PREDEFINED_ARGUMENTS, StageState
from cutaway.build.workshop import Workshop, to_the_end
from cutaway.errors import CutawayError
from cutaway.linux.files import RootFiles
from cutaway.linux.private_mounts import in_private_mounts
from cutaway.store.images import Image


class Step(Protocol):
    """An instruction on the way to its image."""

    async def prepare(self) -> Inputs:
        """All that the result depends on. Raises DockerfileError and BuildFailedError."""

    async def work(self) -> Image:
        """Do it; the image that it made. Raises BuildFailedError."""


def step_for(shop: Workshop, instruction: Instruction, state: StageState) -> Step:
    """The step that an instruction is."""
    if isinstance(instruction, Run):
        return RunStep(shop, instruction, state)
    if isinstance(instruction, Copy):
        return CopyStep(shop, instruction, state)
    if isinstance(instruction, Workdir):
        return WorkdirStep(shop, instruction, state)
    return SettingsStep(shop, instruction, state)


class SettingsStep:
    """ENV, LABEL, CMD and their like: a new config."""

    def __init__(self, shop: Workshop, instruction: Instruction, state: StageState) -> None:
        self.shop = shop
        self.instruction = instruction
        self.state = state
        self.text = ""

    async def prepare(self) -> Inputs:
        """Change the config at once: it costs nothing, and its text is the input."""
        shop = self.shop
        changer = Changer(self.state, shop.escape, shop.options.arguments, shop.outer, shop.used)
        self.text = changer.change(self.instruction)
        return Inputs(self.state.parent, self.text)

    async def work(self) -> Image:
        """An image with the same layers."""
        return await to_the_end(self.shop.make_image, self.state, self.text, None)


class WorkdirStep(SettingsStep):
    """WORKDIR: a setting, and a folder where there is none."""

    async def work(self) -> Image:
        """An image with one more layer when the folder had to be made."""
        shop, state, stop = self.shop, self.state, threading.Event()
        scratch = shop.scratch()

        def make_folder() -> None:
            scratch.mount(shop.layers.root, shop.lowers(state.layers))
            with RootFiles(scratch.merged) as root:
                os.close(open_folder(root, state.working_dir, (0, 0)))

        await in_private_mounts(make_folder, stop)
        layer = await to_the_end(shop.make_layer, scratch.upper)
        return await to_the_end(shop.make_image, state, self.text, layer)


class RunStep:
    """RUN: a command in a container over the layers so far."""

    def __init__(self, shop: Workshop, instruction: Run, state: StageState) -> None:
        self.shop = shop
        self.instruction = instruction
        self.state = state
        self.argv = instruction.command.argv(state.shell)

    async def prepare(self) -> Inputs:
        """The command's words and the ARGs that it sees."""
        return Inputs(self.state.parent, json.dumps(["RUN", *self.argv]), {}, self.state.visible_arguments())

    async def work(self) -> Image:
        """Run it and keep what it changed."""
        if self.state.image is None:
            hint = "COPY a program into it first, or begin with an image that has a shell"
            hint = f"{self._where}; {hint}"
            raise BuildFailedError("RUN failed: FROM scratch is empty", hint, line=self._line)
        containers: list[str] = []

        async def started(container_id: str) -> None:
            containers.append(container_id)
            await self.shop.progress.running(container_id)

        try:
            result = await self.shop.execute(self._request(), started, self.shop.progress.output)
        except CutawayError as error:
            code = error.exit_code if error.exit_code in (126, 127) else 0
            hint = error.hint or self._hint()
            raise BuildFailedError(error.message, hint, line=self._line, code=code) from error
        image = await self._keep(result)
        if containers:
            await self.shop.progress.removed(containers[0])
        return image

    async def _keep(self, result: RunResult) -> Image:
        try:
            if result.exit_code:
                command = " ".join(self.argv)
                message = f"The command '{command}' returned a non-zero code: {result.exit_code}"
                raise BuildFailedError(message, self._hint(), line=self._line, code=result.exit_code)
            layer = await to_the_end(self.shop.make_layer, result.upper)
        finally:
            await asyncio.shield(result.discard())
        return await to_the_end(self.shop.make_image, self.state, self._text(), layer)

    def _request(self) -> RunRequest:
        state, options = self.state, self.shop.options
        given = {
            name: value
            for name, value in options.arguments.items()
            if value is not None and name.upper() in PREDEFINED_ARGUMENTS
        }
        return RunRequest(
            image=state.parent,
            layers=tuple(str(layer.diff_id) for layer in state.layers),
            argv=tuple(self.argv),
            environment=(*(f"{name}={value}" for name, value in given.items()), *state.run_environment()),
            user=state.config.config.user,
            working_dir=state.working_dir,
            network=options.network,
            labels=state.config.config.labels or {},
            limits=options.limits,
        )

    def _text(self) -> str:
        arguments = self.state.visible_arguments()
        seen = f"|{len(arguments)} {' '.join(arguments)} " if arguments else ""
        return f"RUN {seen}{' '.join(self.argv)}"

    def _hint(self) -> str:
        before = self.state.image.id.short if self.state.image else ""
        return f"{self._where}; look around in the state before it: run -it --rm {before} sh"

    @property
    def _where(self) -> str:
        return f"line {self._line} of the Dockerfile"

    @property
    def _line(self) -> int:
        return self.instruction.line.number
