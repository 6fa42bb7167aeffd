"""A stage while it is built: the image so far.

Each instruction turns one image into the next. Most only change the config (ENV, CMD, …) and leave a line in
its history that is marked `empty_layer`; RUN, COPY, ADD and sometimes WORKDIR add a layer. Every step ends in
an image of its own with an id, whose parent is the one before: that is what the cache hands out again.

Source: OCI image-spec, config.md; Docker's `docker history` for how steps are written down.
"""

from __future__ import annotations

import copy
import dataclasses
import platform
from collections.abc import Mapping

from cutaway.oci.image import History, ImageConfig, Layer
from cutaway.store.describe import now
from cutaway.store.images import Image

DEFAULT_SHELL = ("/bin/sh", "-c")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "riscv64": "riscv64"}
PREDEFINED_ARGUMENTS = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")


@dataclasses.dataclass(slots=True)
class StageState:
    """The image so far. `image` is None for `FROM scratch` before its first step."""

    image: Image | None
    config: ImageConfig
    layers: list[Layer]
    arguments: dict[str, str] = dataclasses.field(default_factory=dict)
    """ARGs in scope that have a value."""
    cmd_set: bool = False
    """CMD was given in this stage, so a later ENTRYPOINT does not take it away."""

    @classmethod
    def begin(cls, image: Image | None) -> StageState:
        """What FROM begins with: the image's own config and layers, or nothing."""
        if image is None:
            machine = platform.machine()
            return cls(None, ImageConfig(architecture=ARCHITECTURES.get(machine, machine)), [])
        config = copy.deepcopy(image.config)
        config.container_config = None
        return cls(image, config, list(image.stack))

    @property
    def parent(self) -> str:
        """The id of the image so far; empty for none."""
        return str(self.image.id) if self.image else ""

    @property
    def shell(self) -> tuple[str, ...]:
        """What the shell form is given to."""
        return tuple(self.config.config.shell or DEFAULT_SHELL)

    @property
    def working_dir(self) -> str:
        """Absolute."""
        return self.config.config.working_dir or "/"

    @property
    def variables(self) -> dict[str, str]:
        """What words expand with: ENV wins over ARG."""
        return {**self.arguments, **self.environment}

    @property
    def environment(self) -> dict[str, str]:
        """ENV so far."""
        pairs = (text.partition("=") for text in self.config.config.env or [])
        return {name: value for name, _, value in pairs}

    def set_environment(self, name: str, value: str) -> None:
        """Add or change one variable; it keeps its place in the list."""
        self.config.config.env = [f"{key}={text}" for key, text in {**self.environment, name: value}.items()]

    def run_environment(self) -> tuple[str, ...]:
        """For RUN: ARGs, over them ENV, and a PATH in any case."""
        found = {"PATH": DEFAULT_PATH, **self.variables}
        return tuple(f"{name}={value}" for name, value in found.items())

    def visible_arguments(self) -> tuple[str, ...]:
        """ARGs that a RUN sees, `name=value`, as the history shows them. Proxies are no part of it."""
        hidden = {*PREDEFINED_ARGUMENTS, *(name.lower() for name in PREDEFINED_ARGUMENTS), *self.environment}
        shown = sorted(set(self.arguments) - hidden)
        return tuple(f"{name}={self.arguments[name]}" for name in shown)

    def next_config(self, created_by: str, layer: Layer | None) -> ImageConfig:
        """The config of the image that this step makes."""
        created = now()
        entry = History(created=created, created_by=created_by, empty_layer=layer is None)
        if self.config.author:
            entry.author = self.config.author
        config = copy.deepcopy(self.config)
        config.created = created
        config.history = [*(config.history or []), entry]
        return config

    def advance(self, image: Image) -> None:
        """The step is done: go on from its image, made now or found in the cache."""
        self.image = image
        self.config = copy.deepcopy(image.config)
        self.layers = list(image.stack)


def merge(old: Mapping[str, str] | None, new: Mapping[str, str]) -> dict[str, str]:
    """Labels on labels."""
    return {**(old or {}), **new}
