"""What the steps of one build share: stores, the runner, the files, and what was said on the command line."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from cutaway.build.instructions import Instruction
from cutaway.build.mounted import Scratch
from cutaway.build.options import BuildOptions, Run
from cutaway.build.progress import Progress
from cutaway.build.state import StageState
from cutaway.build.trees import BuildContext
from cutaway.build.words import Word
from cutaway.layer.layers import Layers
from cutaway.oci.image import Layer
from cutaway.store.images import Image, Images

P = ParamSpec("P")
T = TypeVar("T")


@dataclasses.dataclass(slots=True)
class Workshop:
    """One build's things. `folder` is for what is half made; `outer` are the ARGs before the first FROM;
    `used` collects the names of ARGs; `stages` the stages so far, by alias and by number.
    """

    images: Images
    layers: Layers
    execute: Run
    context: BuildContext
    folder: Path
    options: BuildOptions
    escape: str
    progress: Progress
    outer: dict[str, str] = dataclasses.field(default_factory=dict)
    used: set[str] = dataclasses.field(default_factory=set)
    stages: dict[str, StageState] = dataclasses.field(default_factory=dict)
    scratches: int = 0

    def scratch(self) -> Scratch:
        """Fresh folders for one change."""
        self.scratches += 1
        scratch = Scratch(self.folder / f"step-{self.scratches}")
        scratch.create()
        return scratch

    def lowers(self, layers: Sequence[Layer]) -> list[str]:
        """What overlayfs mounts, topmost first, below the layers' root."""
        return [self.layers.lower(layer.diff_id) for layer in reversed(layers)]

    def expand(self, instruction: Instruction, word: Word, variables: Mapping[str, str]) -> str:
        """A word with its variables filled in. Raises DockerfileError that points into it."""
        return instruction.expand(word, variables, self.escape)

    def make_layer(self, upper: Path) -> Layer | None:
        """A layer of an upper directory; None when there is nothing in it. Blocking."""
        with os.scandir(upper) as entries:
            if not any(entries):
                return None
        layer = self.layers.commit_upper(upper)
        return None if layer.empty else layer

    def make_image(self, state: StageState, created_by: str, layer: Layer | None) -> Image:
        """The image of a step: the state's config, one more layer or none. Blocking."""
        layers = state.layers if layer is None else [*state.layers, layer]
        return self.images.add(state.next_config(created_by, layer), layers, parent=state.parent)


async def to_the_end(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run what blocks in a thread. When cancelled, wait for it first: a thread cannot be stopped halfway."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at, so that nobody is warned of it
        raise
