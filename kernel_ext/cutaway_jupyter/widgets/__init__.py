"""The views: an image's layers, and the namespaces of containers beside the host's."""

from cutaway_jupyter.widgets.opening import open_view

__all__ = ["open_view"]
