"""A lesson's reset removes every container, so it is careful about whose they are."""

from __future__ import annotations

import pytest

from cutaway.errors import ConflictError
from cutaway_jupyter import reset


@pytest.mark.parametrize("other", ["", "unix:///run/docker.sock"])
def test_reset_refuses_an_engine_that_was_not_set_apart_for_lessons(
    other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUTAWAY_ROOT", raising=False)
    monkeypatch.setenv("DOCKER_HOST", other)
    with pytest.raises(ConflictError) as refusal:
        reset()
    assert refusal.value._render_traceback_() == [
        "error: reset removes every container, and this engine was not set apart for lessons",
        "hint: open the lesson with `cutaway lab`, or unset DOCKER_HOST and set CUTAWAY_ROOT",
    ]
