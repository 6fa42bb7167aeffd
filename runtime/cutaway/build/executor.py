"""The builder: from a context and a Dockerfile to an image.

    unpack the context, read the Dockerfile          nothing is kept when this fails
    for each stage, for each instruction:
        work out its inputs                          variables, copied files, arguments
        look in the cache                            a hit is the step's image
        do it                                        RUN in a container, COPY in a mounted image
        make an image of it                          its parent is the step before
    name the last image

Every step is an image of its own, so a build that breaks leaves all finished steps for the next one to find,
and nothing else: what is half made lies in one folder below `tmp`, which goes in any case.

Source: Docker Engine API, `POST /build`.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from pathlib import Path

from cutaway.build.cache import BuildCache, Inputs, Verdict
from cutaway.build.failures import BuildFailedError, DockerfileError
from cutaway.build.grammar import read_dockerfile
from cutaway.build.instructions import Arg, From, Instruction, Label, Pair, Program, Stage
from cutaway.build.options import BuildOptions, Emit, Run
from cutaway.build.parser import Line, Piece
from cutaway.build.progress import Progress
from cutaway.build.records import BuildRecords, StepRecord
from cutaway.build.state import PREDEFINED_ARGUMENTS, StageState
from cutaway.build.steps import step_for
from cutaway.build.trees import BuildContext
from cutaway.build.words import Word
from cutaway.build.workshop import Workshop, to_the_end
from cutaway.errors import BadInputError, NotFoundError
from cutaway.layer.layers import Layers
from cutaway.layer.streams import Readable
from cutaway.oci.reference import Reference
from cutaway.store.database import Database
from cutaway.store.images import Image, Images


class Builder:
    """Builds images. `tmp` is on the layers' file system; `cache` may be deleted at any time."""

    def __init__(
        self, images: Images, layers: Layers, database: Database, run: Run, tmp: Path, cache: Path
    ) -> None:
        self.images = images
        self.cache = BuildCache(database, images, cache / "build")
        self.records = BuildRecords(cache / "builds")
        self._layers = layers
        self._run = run
        self._tmp = tmp

    async def build(self, options: BuildOptions, context: Readable, emit: Emit) -> str:
        """Build what the tar `context` holds; returns the image's id.

        What is wrong with the options, the context or the Dockerfile's grammar is raised before the first
        message. Raises DockerfileError, BuildFailedError for a step that failed, other CutawayErrors.
        Cancelling ends the running step and leaves nothing of it.
        """
        names = [Reference.parse(tag).familiar() for tag in options.tags]
        self._tmp.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="build-", dir=self._tmp))
        try:
            with self.images.hold():
                return await self._build(options, names, context, folder, emit)
        finally:
            await to_the_end(shutil.rmtree, folder, ignore_errors=True)

    async def _build(
        self, options: BuildOptions, names: list[str], context: Readable, folder: Path, emit: Emit
    ) -> str:
        (folder / "context").mkdir()
        tree = await to_the_end(BuildContext.unpack, context, folder / "context")
        try:
            program = await to_the_end(_read, tree, options)
            progress = Progress(emit, quiet=options.quiet)
            shop = Workshop(
                self.images, self._layers, self._run, tree, folder, options, program.escape, progress
            )
            return await _Build(self, shop, program).run(names)
        finally:
            tree.close()


def _read(tree: BuildContext, options: BuildOptions) -> Program:
    program = read_dockerfile(tree.read_dockerfile(options.dockerfile), options.dockerfile)
    tree.obey_ignore_file()
    return dataclasses.replace(program, stages=_wanted(program, options.target))


def _wanted(program: Program, target: str) -> tuple[Stage, ...]:
    """The stages up to the target, by name or number; all without one."""
    if not target:
        return program.stages
    for stage in program.stages:
        if target.lower() == stage.base.alias or target == str(stage.index):
            return program.stages[: stage.index + 1]
    known = ", ".join(stage.base.alias or str(stage.index) for stage in program.stages)
    raise BadInputError(f"failed to reach build target {target} in Dockerfile", f"the stages are: {known}")


class _Build:
    """One build under way: goes through the stages, asks the cache, tells the client, keeps the record."""

    def __init__(self, builder: Builder, shop: Workshop, program: Program) -> None:
        self.builder = builder
        self.shop = shop
        self.program = program
        self.total = len(program.arguments) + sum(1 + len(stage.instructions) for stage in program.stages)
        self.total += bool(shop.options.labels)
        self.step = 0
        self.records: list[StepRecord] = []

    async def run(self, names: list[str]) -> str:
        """All of it; returns the image's id."""
        for argument in self.program.arguments:
            await self._outer_argument(argument)
        for stage in self.program.stages:
            state = await self._stage(stage)
        if self.shop.options.labels:
            await self._instruction(_labels(self.shop.options), state)
        if state.image is None:
            problem = "No image was generated. Is your Dockerfile empty?"
            raise DockerfileError(problem, "add a step after FROM scratch")
        image_id = str(state.image.id)
        await self._warn_of_unused_arguments()
        for name in names:
            await to_the_end(self.builder.images.tag, image_id, name)
        await to_the_end(self.builder.records.write, image_id, self.records)
        await self.shop.progress.built(image_id, names)
        return image_id

    async def _outer_argument(self, argument: Arg) -> None:
        """An ARG before the first FROM: for FROM lines, and for stages that name it again."""
        await self._announce(argument)
        for pair in argument.pairs:
            name, given = pair.name.text, self.shop.options.arguments.get(pair.name.text)
            self.shop.used.add(name)
            if given is not None:
                self.shop.outer[name] = given
            elif pair.value is not None:
                self.shop.outer[name] = self.shop.expand(argument, pair.value, self.shop.outer)

    async def _stage(self, stage: Stage) -> StageState:
        await self._announce(stage.base)
        began = time.monotonic()
        state = StageState.begin(await to_the_end(self._base, stage.base))
        if state.config.config.on_build:
            problem = "the base image has ONBUILD triggers, which are not supported yet"
            raise stage.base.fault(problem, word=stage.base.image)
        await self._finish(stage.base, state, began)
        for instruction in stage.instructions:
            await self._instruction(instruction, state)
        for name in filter(None, (stage.base.alias, str(stage.index))):
            self.shop.stages[name] = state
        return state

    def _base(self, base: From) -> Image | None:
        """The image that FROM names: a stage before, one that is here, or None for scratch."""
        name = self.shop.expand(base, base.image, self.shop.outer)
        if not name:
            hint = "an ARG before the first FROM gives its variables their values"
            raise base.fault(f"base name ({base.image.text}) should not be blank", hint, word=base.image)
        self._check_platform(base)
        if name == "scratch":
            return None
        if name.lower() in self.shop.stages and not name.isdigit():
            return self.shop.stages[name.lower()].image
        try:
            return self.builder.images.resolve(name)
        except NotFoundError as error:
            line = base.line.number
            hint = f"line {line} needs it; busybox and debian are made with: cutaway images bootstrap"
            raise BuildFailedError(error.message, hint, line=line) from error

    def _check_platform(self, base: From) -> None:
        if base.platform is None:
            return
        wanted = self.shop.expand(base, base.platform, self.shop.outer)
        here = f"linux/{StageState.begin(None).config.architecture}"
        if wanted not in ("", here):
            hint = f"this machine runs {here}"
            raise base.fault(f"platform {wanted} is not supported yet", hint, word=base.platform)

    async def _instruction(self, instruction: Instruction, state: StageState) -> None:
        """One step: inputs, cache, work, image."""
        await self._announce(instruction)
        began = time.monotonic()
        step = step_for(self.shop, instruction, state)
        try:
            inputs = await step.prepare()
            verdict = await to_the_end(self._look_up, inputs)
            image = verdict.image or await step.work()
        except ConnectionError:  # the client is gone
            raise
        except OSError as error:
            raise _disk_failure(instruction, error) from error
        if verdict.image is None:
            await to_the_end(self.builder.cache.remember, inputs, image)
        layer = str(image.layers[-1]) if len(image.layers) > len(state.layers) else ""
        state.advance(image)
        await self._finish(instruction, state, began, layer, verdict)

    def _look_up(self, inputs: Inputs) -> Verdict:
        if self.shop.options.no_cache:
            return Verdict(None, "the cache was not asked: --no-cache")
        return self.builder.cache.look_up(inputs)

    async def _warn_of_unused_arguments(self) -> None:
        known = {*self.shop.used, *PREDEFINED_ARGUMENTS, *(name.lower() for name in PREDEFINED_ARGUMENTS)}
        unused = " ".join(sorted(set(self.shop.options.arguments) - known))
        if unused:
            await self.shop.progress.say(f"[Warning] One or more build-args [{unused}] were not consumed\n")

    async def _announce(self, instruction: Instruction) -> None:
        self.step += 1
        await self.shop.progress.step(self.step, self.total, instruction.line)

    async def _finish(
        self,
        instruction: Instruction,
        state: StageState,
        began: float,
        layer: str = "",
        verdict: Verdict | None = None,
    ) -> None:
        line = instruction.line
        cached, reason = verdict is not None and verdict.image is not None, verdict.reason if verdict else ""
        seconds = round(time.monotonic() - began, 3)
        record = StepRecord(self.step, line.number, line.text, state.parent, layer, cached, reason, seconds)
        self.records.append(record)
        await self.shop.progress.done(record)


def _labels(options: BuildOptions) -> Label:
    """`--label` is one more LABEL at the end, on line 0."""
    labels = sorted(options.labels.items())
    pairs = tuple(Pair(Word(_quoted(name), 0), Word(_quoted(value), 0)) for name, value in labels)
    rest = " ".join(f"{pair.name.text}={pair.value.text if pair.value else ''}" for pair in pairs)
    text = f"LABEL {rest}"
    return Label(Line(0, 0, text, "LABEL", rest, len("LABEL "), (Piece(0, 0, 0, text),)), pairs)


def _quoted(text: str) -> str:
    """A word that means itself whatever it holds: neither space nor `$` is special between single quotes."""
    return "'" + text.replace("'", "'\\''") + "'"


def _disk_failure(instruction: Instruction, error: OSError) -> BuildFailedError:
    line = instruction.line.number
    message = f"{instruction.keyword} failed: {error.strerror or error}"
    if error.filename:
        message += f": {error.filename}"
    return BuildFailedError(message, f"line {line} of the Dockerfile", line=line)
