"""`%load_ext cutaway_jupyter`: the magics and views of Cutaway.

`layers("image")` and `namespaces("a", "b")` open the views from Python, as `%container view …` does;
`reset()` gives a lesson its clean beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from cutaway_jupyter.course import reset
    from cutaway_jupyter.widgets.opening import layers, namespaces

__all__ = ["layers", "load_ipython_extension", "namespaces", "reset", "unload_ipython_extension"]


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register `%container`, `%%dockerfile` and their completion. Starts no engine."""
    from cutaway_jupyter.magics.completer import match_container
    from cutaway_jupyter.magics.magics import ContainerMagics

    ipython.register_magics(ContainerMagics)
    matchers = ipython.Completer.custom_matchers
    if match_container not in matchers:
        matchers.append(match_container)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Take them away again. Containers and engine go on."""
    from cutaway_jupyter.magics.completer import match_container

    magics = ipython.magics_manager
    for kind, name in (
        ("line", "container"),
        ("cell", "container"),
        ("line", "dockerfile"),
        ("cell", "dockerfile"),
    ):
        magics.magics[kind].pop(name, None)
    magics.registry.pop("ContainerMagics", None)
    if match_container in ipython.Completer.custom_matchers:
        ipython.Completer.custom_matchers.remove(match_container)


def __getattr__(name: str) -> Any:
    """`layers`, `namespaces` and `reset`, imported when first asked for: widgets are slow to import."""
    if name in ("layers", "namespaces"):
        from cutaway_jupyter.widgets import opening

        return getattr(opening, name)
    if name == "reset":
        from cutaway_jupyter.course import reset

        return reset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
