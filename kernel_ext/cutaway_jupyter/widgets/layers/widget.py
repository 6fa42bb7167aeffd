"""The layers view: what an image is made of, which line made it, and where a container writes."""

from __future__ import annotations

import itertools
import re

from cutaway.errors import CutawayError
from cutaway_jupyter.widgets.layers.picture import describe, draw
from cutaway_jupyter.widgets.source import Json, Source
from cutaway_jupyter.widgets.view import View, module, style

_BUILD_ARGUMENTS = re.compile(r"^\|\d+ .*?(?=/bin/sh -c )")


class LayersView(View):
    """`name` is an image or a container; a container also shows its writable layer."""

    _esm = module("layers")
    _css = style("layers")

    def __init__(self, source: Source, name: str, *, language: str = "en") -> None:
        self.name = name
        super().__init__(source, language=language)

    def read(self) -> Json:
        """The answer of `/cutaway/…/layers`, each line with its step, worded as in a Dockerfile."""
        data = self._source.layers(self.name)
        # What FROM brought is step 1, all of it; the settings that came along say nothing about this image.
        based = any(line["from"] for line in data["lines"])
        data["lines"] = [line for line in data["lines"] if line["layer"] or not line["from"]]
        own = itertools.count(2 if based else 1)
        for line in data["lines"]:
            line["step"] = 1 if line["from"] else next(own)
            line["instruction"] = instruction(line["created_by"])
        if based:
            data["lines"][0]["instruction"] = f"FROM {data['lines'][0]['from']}"
        return data

    def answer(self, content: Json) -> Json | None:
        """`{"kind": "files", "layer", "path"}` gets the folder's entries, or `error`."""
        if content.get("kind") != "files":
            return None
        layer, path = str(content["layer"]), str(content["path"])
        try:
            found = self._source.files(self.data, layer, path)
        except CutawayError as error:
            found = {"error": error.message}
        return {"kind": "files", "layer": content["layer"], "path": path, **found}

    def sentence(self) -> str:
        """How many layers, from which lines, and what the container changed."""
        return describe(self.data, self.language)

    def picture(self) -> str:
        """The stack as SVG."""
        return draw(self.data, self.language)


def instruction(created_by: str) -> str:
    """A line of a Dockerfile from what builders write into an image's history.

    The classic builder writes `/bin/sh -c #(nop)  CMD ["sh"]` and `/bin/sh -c apt-get update`, with build
    arguments `|1 A=b /bin/sh -c …`; BuildKit writes `RUN /bin/sh -c … # buildkit`.
    """
    text = _BUILD_ARGUMENTS.sub("", created_by.removesuffix("# buildkit").strip())
    text = text.removeprefix("RUN ") if text.startswith("RUN /bin/sh -c ") else text
    if not text.startswith("/bin/sh -c "):
        return text
    command = text.removeprefix("/bin/sh -c ")
    return command.removeprefix("#(nop)").strip() if command.startswith("#(nop)") else f"RUN {command}"
