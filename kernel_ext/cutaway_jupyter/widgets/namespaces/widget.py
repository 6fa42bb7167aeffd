"""The namespaces view: what a container is shut off from, and what it shares with whom."""

from __future__ import annotations

from cutaway_jupyter.widgets.namespaces.blocks import arrange
from cutaway_jupyter.widgets.namespaces.picture import describe, draw
from cutaway_jupyter.widgets.source import Json, Source
from cutaway_jupyter.widgets.view import View, module, style


class NamespacesView(View):
    """The host and the named containers; without a name all that run."""

    _esm = module("namespaces")
    _css = style("namespaces")

    def __init__(self, source: Source, names: tuple[str, ...], *, language: str = "en") -> None:
        self.names = names
        super().__init__(source, language=language)

    def read(self) -> Json:
        """The answer of `/cutaway/namespaces`, and who shares what as blocks."""
        data = self._source.namespaces(self.names)
        data["blocks"] = arrange(data["rows"])
        return data

    def answer(self, content: Json) -> Json | None:
        """The browser has all it needs."""
        return None

    def sentence(self) -> str:
        """What each container has of its own, what it shares, and what it sees of the host."""
        return describe(self.data, self.language)

    def picture(self) -> str:
        """The grid as SVG."""
        return draw(self.data, self.language)
