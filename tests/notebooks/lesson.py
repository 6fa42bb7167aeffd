"""Where a lesson runs: an engine root of its own, and surroundings in which two runs print the same.

The engine is not started here. The lesson's first command starts it, as it does for a student.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).parents[1]
LESSONS = sorted((TESTS.parent / "notebooks").glob("*/*.ipynb"))
SANITIZER = Path(__file__).with_name("sanitize.cfg")
CELL_TIMEOUT = 120  # seconds; the first cell may have to download busybox

if str(TESTS / "integration") not in sys.path:
    sys.path.insert(0, str(TESTS / "integration"))

from harness import EngineProcess  # noqa: E402  # the path has to be there first

__all__ = [
    "CELL_TIMEOUT",
    "LESSONS",
    "SANITIZER",
    "EngineProcess",
    "lesson_engine",
    "surroundings",
]

SAME_EVERYWHERE = {
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
    "LANG": "C.UTF-8",
    "COLUMNS": "100",
    "TERM": "dumb",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # the kernel's debugger would warn on the terminal
}


def surroundings(engine: EngineProcess) -> dict[str, str]:
    """The environment of a lesson's kernel: our commands first in the path, this engine and no other."""
    env = engine.env | SAME_EVERYWHERE
    env.pop("DOCKER_HOST")
    commands = str(Path(sys.executable).parent)
    # what the lesson writes for itself goes with the engine's folder
    home = {"IPYTHONDIR": str(engine.root / "ipython"), "JUPYTER_RUNTIME_DIR": str(engine.root / "jupyter")}
    return env | home | {"PATH": f"{commands}{os.pathsep}{env['PATH']}"}


@contextmanager
def lesson_engine() -> Iterator[EngineProcess]:
    """A root for one lesson. Afterwards the engine is stopped as a student would stop it, and nothing may
    be left.
    """
    engine = EngineProcess()
    try:
        yield engine
        if engine.answers():
            engine.remove_containers()
            stop = ["cutaway", "engine", "stop"]
            subprocess.run(stop, env=surroundings(engine), check=True, capture_output=True)
    finally:
        left = engine.close()
    assert left == []
