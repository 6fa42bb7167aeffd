"""Open a view, from Python or by its name.

ipywidgets and anywidget take a fifth of a second to import, so nothing here does until a view is opened.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cutaway.errors import BadInputError

if TYPE_CHECKING:
    from cutaway_jupyter.widgets.layers.widget import LayersView
    from cutaway_jupyter.widgets.namespaces.widget import NamespacesView
    from cutaway_jupyter.widgets.source import Source
    from cutaway_jupyter.widgets.view import View

VIEWS = ("layers", "namespaces")


def layers(name: str, *, language: str | None = None) -> LayersView:
    """The layers of a container (with the one that it writes to) or of an image.

    Raises NotFoundError for an unknown name and EngineUnavailableError. On an engine that is not ours it
    shows what `docker history` tells.
    """
    from cutaway_jupyter.widgets.layers.widget import LayersView

    return LayersView(_source(), name, language=_language(language))


def namespaces(*names: str, language: str | None = None) -> NamespacesView:
    """The namespaces of the named containers beside the host's; without a name those of all that run.

    Raises NotFoundError, EngineUnavailableError, and BadInputError on an engine that does not tell.
    """
    from cutaway_jupyter.widgets.namespaces.widget import NamespacesView

    return NamespacesView(_source(), names, language=_language(language))


def open_view(name: str, args: list[str]) -> View:
    """What `%container view NAME ARGS…` shows. Raises BadInputError for a view or arguments that there are
    not.
    """
    if name == "layers" and len(args) == 1:
        return layers(args[0])
    if name == "namespaces":
        return namespaces(*args)
    if name == "layers":
        raise BadInputError("view layers takes one image or container", "%container view layers busybox")
    raise BadInputError(f"no view is called {name}", f"views: {', '.join(VIEWS)}")


def _language(chosen: str | None) -> str:
    return chosen or os.environ.get("CUTAWAY_LANGUAGE", "en")


def _source() -> Source:
    from cutaway_jupyter.engine import engine_api
    from cutaway_jupyter.widgets.source import Source

    return Source(engine_api())
