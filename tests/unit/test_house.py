"""The house keeps its own rules: style, types, imports, sizes, and a walk that names real functions."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("runtime/cutaway/**/*.py"), *ROOT.glob("kernel_ext/cutaway_jupyter/**/*.py")])
LONGEST_MODULE = 400


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_code_keeps_to_the_style() -> None:
    run(sys.executable, "-m", "ruff", "check")


def test_every_type_holds_under_mypy_strict() -> None:
    run(sys.executable, "-m", "mypy")


def test_imports_go_one_way() -> None:
    run(str(Path(sys.executable).with_name("lint-imports")))


def test_no_module_is_longer_than_a_student_reads() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_every_module_begins_with_its_mechanism() -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in SOURCES}
    silent = [name for name, text in texts.items() if not text.startswith(('"""', 'r"""'))]
    assert silent == []


def test_only_the_kernel_room_imports_ctypes() -> None:
    imported = re.compile(r"^\s*(import|from) ctypes", re.MULTILINE)
    users = [str(path.relative_to(ROOT)) for path in SOURCES if imported.search(path.read_text())]
    assert users == ["runtime/cutaway/linux/kernel.py"]


def walked_functions() -> list[str]:
    """The functions that the walk in docs/architecture.md passes, as `cutaway.room.module:Class.method`."""
    text = (ROOT / "docs/architecture.md").read_text()
    return re.findall(r"`((?:cutaway|cutaway_jupyter)\.[\w.]+:[\w.]+)`", text)


def test_the_walk_names_functions() -> None:
    assert len(walked_functions()) > 20


@pytest.mark.parametrize("name", walked_functions())
def test_a_function_of_the_walk_exists(name: str) -> None:
    module, _, path = name.partition(":")
    thing: object = importlib.import_module(module)
    for part in path.split("."):
        thing = getattr(thing, part)
    assert callable(thing)


def test_importing_cutaway_imports_nothing_else() -> None:
    command = "import sys; known = set(sys.modules); import cutaway; print(sorted(set(sys.modules) - known))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['cutaway']"
