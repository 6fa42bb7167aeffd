"""A view: a widget whose data the engine gives, that keeps itself fresh while somebody can see it.

The browser gets the kit and the view's own file as one ES module, put together here, so there is nothing
to bundle and nothing to fetch. While it is in sight, the browser asks for samples, and asks again every 20
seconds; a thread then reads once a second and sends what has changed. A minute after the last such request
the thread ends, so a closed tab costs nothing.

Beside the live view every display carries a picture and a sentence, for a notebook that has no kernel.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from cutaway.errors import CutawayError, NotFoundError
from cutaway_jupyter.widgets.picture import image_tag
from cutaway_jupyter.widgets.source import Json, Source
from cutaway_jupyter.widgets.words import table

HERE = Path(__file__).parent
PERIOD = 1.0  # seconds between samples
LEASE = 60.0  # seconds that one request for samples lasts


def module(view: str) -> str:
    """The ES module of a view: its words, the kit, its own code."""
    words = json.dumps(table(view), ensure_ascii=False)
    return "\n".join([f"const WORDS = {words};", _read("kit/kit.js"), _read(f"{view}/widget.js")])


def style(view: str) -> str:
    """The style sheet of a view, after the kit's."""
    return _read("kit/kit.css") + _read(f"{view}/widget.css")


def _read(name: str) -> str:
    return (HERE / name).read_text("utf-8")


class View(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget has no types
    """What both views are. A subclass says how to read, what to answer, and what a picture of it looks
    like.
    """

    data = traitlets.Dict().tag(sync=True)
    trouble = traitlets.Unicode("").tag(sync=True)
    language = traitlets.Unicode("en").tag(sync=True)

    def __init__(self, source: Source, *, language: str = "en") -> None:
        """Reads once, at once: an unknown name raises here and not in a thread."""
        self._source = source
        self._leases: dict[str, float] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._sampler: threading.Thread | None = None
        super().__init__(data=self.read(), language=language)
        self.on_msg(self._heard)
        _answer_on_any_subshell(self)

    def read(self) -> Json:
        """The data to show, JSON. Raises CutawayError."""
        raise NotImplementedError

    def answer(self, content: Json) -> Json | None:
        """The answer to a message of the browser's that is not about watching."""
        raise NotImplementedError

    def sentence(self) -> str:
        """What the view shows, in one sentence or a few: the alternative text, and the output of a
        terminal.
        """
        raise NotImplementedError

    def picture(self) -> str:
        """The view as SVG, in normal form."""
        raise NotImplementedError

    def watch(self, view: str, *, on: bool) -> None:
        """Somebody sees (or no longer sees) this widget, as `view`: sample once a second while one does."""
        with self._lock:
            if on:
                self._leases[view] = time.monotonic() + LEASE
            else:
                self._leases.pop(view, None)
            if self._leases and self._sampler is None:
                self._sampler = threading.Thread(target=self._sample, name="cutaway view", daemon=True)
                self._sampler.start()
        self._wake.set()

    def refresh(self) -> None:
        """Read once more; what has changed goes to the browser."""
        try:
            self.data = self.read()
            self.trouble = ""
        except NotFoundError:
            self.trouble = "removed"
        except CutawayError:
            self.trouble = "engine gone"

    def close(self) -> None:
        """End the sampling and the widget."""
        with self._lock:
            self._leases.clear()
        self._wake.set()
        super().close()

    def _sample(self) -> None:
        while self._is_watched():
            self.refresh()
            self.send({"kind": "tick"})
            self._wake.wait(PERIOD)
            self._wake.clear()

    def _is_watched(self) -> bool:
        now = time.monotonic()
        with self._lock:
            self._leases = {view: until for view, until in self._leases.items() if until > now}
            if not self._leases:
                self._sampler = None
            return bool(self._leases)

    def _heard(self, _widget: View, content: Any, _buffers: Any) -> None:
        if content.get("kind") == "watch":
            self.watch(str(content["view"]), on=bool(content["on"]))
        elif (answer := self.answer(content)) is not None:
            self.send(answer)

    def _repr_mimebundle_(self, **options: Any) -> tuple[Json, Json]:
        data, metadata = super()._repr_mimebundle_(**options)
        sentence = self.sentence()
        return {**data, "text/html": image_tag(self.picture(), sentence), "text/plain": sentence}, metadata


def _answer_on_any_subshell(widget: View) -> None:
    """Let a message of the browser's be handled while a cell runs.

    ipykernel sends a reply on a comm to the subshell that last published on it. A view that a cell has
    published is then served by the main shell, which is the one that is busy. We never wait for a
    particular reply, so the subshell that the browser chose is always right.
    """
    comm = widget.comm
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _data, default: default
