"""JupyterLab for the lessons: which engine its notebooks meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutaway.cli.lab import ENGINE_NAMES, environment, lessons
from cutaway.settings import Settings, course_root, default_root


@pytest.fixture(autouse=True)
def no_engine_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENGINE_NAMES:
        monkeypatch.delenv(name, raising=False)


def test_the_lessons_have_an_engine_of_their_own() -> None:
    settings = Settings.from_environment(environ=environment(lessons()))
    assert settings.root == course_root({}) != default_root({})
    assert settings.instance != "cutaway0"


def test_an_engine_that_is_named_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTAWAY_ROOT", "/srv/class")
    assert environment(lessons())["CUTAWAY_ROOT"] == "/srv/class"


def test_another_folder_meets_the_default_engine(tmp_path: Path) -> None:
    assert "CUTAWAY_ROOT" not in environment(tmp_path)
