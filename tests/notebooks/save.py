"""Run lessons and save them with what they printed: `python tests/notebooks/save.py [NOTEBOOK…]`.

A cell that prints the same but for ids and times (see `sanitize.cfg`) keeps its old output, so that saving
again changes no file. Widgets are left out: their pictures are what a notebook without a kernel shows.
"""

from __future__ import annotations

import configparser
import copy
import os
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

sys.path.insert(0, str(Path(__file__).parent))

from lesson import CELL_TIMEOUT, LESSONS, SANITIZER, close_janitor, lesson_engine, surroundings

WIDGET = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def save(path: Path) -> bool:
    """Run one notebook in an engine of its own; whether its file changed."""
    notebook = nbformat.read(path, as_version=4)
    before = copy.deepcopy(notebook)
    with lesson_engine() as engine:
        os.environ.update(surroundings(engine))
        os.environ.pop("DOCKER_HOST", None)
        NotebookClient(
            notebook, timeout=CELL_TIMEOUT, resources={"metadata": {"path": str(path.parent)}}
        ).execute()
    for cell, old in zip(notebook.cells, before.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs = [_plain(output) for output in _joined(cell.outputs)]
            cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags"}
            if _comparable(cell.outputs) == _comparable(old.outputs):
                cell.outputs = old.outputs
    notebook.metadata = nbformat.from_dict(METADATA)
    text = nbformat.writes(notebook) + "\n"
    changed = path.read_text("utf-8") != text
    if changed:
        path.write_text(text, "utf-8")
    return changed


def _joined(outputs: list[Any]) -> list[Any]:
    """Neighbouring pieces of one stream as one: where a stream is cut is chance."""
    joined: list[Any] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def _plain(output: Any) -> Any:
    if "data" in output:
        output.data.pop(WIDGET, None)
    return output


def _comparable(outputs: list[Any]) -> str:
    text = nbformat.v4.writes(nbformat.v4.new_notebook(cells=[_cell(outputs)]))
    rules = configparser.RawConfigParser()
    rules.read(SANITIZER)
    for name in rules.sections():
        text = re.sub(rules[name]["regex"], rules[name]["replace"], text)
    return text


def _cell(outputs: list[Any]) -> Any:
    return nbformat.v4.new_code_cell(outputs=outputs, id="same")


if __name__ == "__main__":
    for lesson in [Path(name).resolve() for name in sys.argv[1:]] or LESSONS:
        sys.stdout.write(f"{lesson.name}: {'saved' if save(lesson) else 'unchanged'}\n")
    close_janitor()
