from __future__ import annotations

import threading
from typing import Any

import pytest
import samples

from cutaway.errors import EngineUnavailableError, NotFoundError
from cutaway_jupyter.widgets import open_view
from cutaway_jupyter.widgets.layers.widget import LayersView


class Engine:
    """Gives the sample; counts how often it was asked; fails when told to."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.failure: Exception | None = None

    def layers(self, name: str) -> dict[str, Any]:
        self.asked.release()
        if self.failure:
            raise self.failure
        return samples.layers()


def view_of(engine: Engine) -> LayersView:
    view = LayersView(engine, "web")  # type: ignore[arg-type]
    engine.asked.acquire()
    return view


def test_a_view_that_nobody_sees_does_not_ask_the_engine() -> None:
    engine = Engine()
    view = view_of(engine)
    assert view._sampler is None
    assert not engine.asked.acquire(blocking=False)


def test_a_view_samples_while_it_is_seen_and_its_thread_ends_afterwards() -> None:
    engine = Engine()
    view = view_of(engine)
    view.watch("tab", on=True)
    thread = view._sampler
    assert thread is not None
    assert engine.asked.acquire(timeout=10)
    assert engine.asked.acquire(timeout=10)
    view.watch("tab", on=False)
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert view._sampler is None


def test_two_places_that_show_a_view_are_counted_apart() -> None:
    view = view_of(Engine())
    view.watch("one", on=True)
    view.watch("two", on=True)
    view.watch("one", on=False)
    thread = view._sampler
    assert thread is not None
    view.close()
    thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("failure", "trouble"),
    [(NotFoundError("No such container: web"), "removed"), (EngineUnavailableError("gone"), "engine gone")],
)
def test_a_failing_sample_keeps_the_last_values_and_says_why(failure: Exception, trouble: str) -> None:
    engine = Engine()
    view = view_of(engine)
    shown = view.data
    engine.failure = failure
    view.refresh()
    assert (view.trouble, view.data) == (trouble, shown)
    engine.failure = None
    view.refresh()
    assert view.trouble == ""


def test_an_unknown_name_is_an_error_at_once() -> None:
    engine = Engine()
    engine.failure = NotFoundError("No such image: nosuch:latest")
    with pytest.raises(NotFoundError, match="No such image: nosuch:latest"):
        view_of(engine)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [("nosuch", [], "no view is called nosuch"), ("layers", [], "view layers takes one image or container")],
)
def test_a_view_that_there_is_not_is_refused(name: str, arguments: list[str], message: str) -> None:
    with pytest.raises(Exception, match=message):
        open_view(name, arguments)


def test_the_functions_that_open_views_stay_functions_when_the_views_are_imported() -> None:
    import cutaway_jupyter.widgets.layers.widget
    import cutaway_jupyter.widgets.namespaces.widget

    assert callable(cutaway_jupyter.layers)
    assert callable(cutaway_jupyter.namespaces)
