"""Every lesson gives, run again, what it was saved with: nbval in strict mode, each in an engine of its
own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from lesson import CELL_TIMEOUT, LESSONS, SANITIZER, lesson_engine, surroundings


def name_of(lesson: Path) -> str:
    return f"{lesson.parent.name}/{lesson.stem}"


def cells(lesson: Path) -> list[dict[str, Any]]:
    return list(json.loads(lesson.read_text("utf-8"))["cells"])


@pytest.mark.root
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the lessons start containers")
@pytest.mark.parametrize("lesson", LESSONS, ids=name_of)
def test_a_lesson_prints_what_it_was_saved_with(lesson: Path) -> None:
    with lesson_engine() as engine:
        command = [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env"),
            *("--nbval-sanitize-with", str(SANITIZER), f"--nbval-cell-timeout={CELL_TIMEOUT}"),
            *("--timeout=0", "--quiet", "--no-header", "--color=no", str(lesson)),
        ]
        done = subprocess.run(
            command, env=surroundings(engine), cwd=lesson.parent, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{engine.log()}"


@pytest.mark.parametrize("lesson", LESSONS, ids=name_of)
def test_a_lesson_begins_with_the_extension_and_a_reset(lesson: Path) -> None:
    code = ["".join(cell["source"]) for cell in cells(lesson) if cell["cell_type"] == "code"]
    assert code[0].strip() == "%load_ext cutaway_jupyter"
    assert "reset()" in code[1]


@pytest.mark.parametrize("lesson", LESSONS, ids=name_of)
def test_a_lesson_is_saved_with_outputs_and_without_the_state_of_widgets(lesson: Path) -> None:
    code = [cell for cell in cells(lesson) if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    kinds = {kind for cell in code for output in cell["outputs"] for kind in output.get("data", {})}
    # a trusted notebook that names a widget without its state would show "model not found", not the picture
    assert "application/vnd.jupyter.widget-view+json" not in kinds


@pytest.mark.parametrize("lesson", LESSONS, ids=name_of)
def test_only_cells_that_are_meant_to_fail_do(lesson: Path) -> None:
    for cell in cells(lesson):
        failed = any(output["output_type"] == "error" for output in cell.get("outputs", []))
        assert failed == ("raises-exception" in cell["metadata"].get("tags", [])), "".join(cell["source"])
