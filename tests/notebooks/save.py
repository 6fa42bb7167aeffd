"""Run lessons and save them with what they printed: `python tests/notebooks/save.py [--fresh] [NOTEBOOK…]`.

A cell that prints the same but for ids and times (see `sanitize.cfg`) keeps its old output, and so does
one whose output is not compared, unless `--fresh` is given: saving again changes no file. Widgets are left
out: their pictures are what a notebook without a kernel shows. Paths are written as the default engine's,
which is the reader's.
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

from cutaway.settings import DEFAULT_ROOT, DEFAULT_SOCKET, Settings

sys.path.insert(0, str(Path(__file__).parent))

from lesson import CELL_TIMEOUT, LESSONS, SANITIZER, lesson_engine, surroundings

IGNORED = "nbval-ignore-output"
WIDGET = "application/vnd.jupyter.widget-view+json"
DEFAULT_INSTANCE = Settings(DEFAULT_ROOT, DEFAULT_SOCKET).instance
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def save(path: Path, *, fresh: bool) -> bool:
    """Run one notebook in an engine of its own; whether its file changed."""
    notebook = nbformat.read(path, as_version=4)
    before = copy.deepcopy(notebook)
    with lesson_engine() as engine:
        os.environ.update(surroundings(engine))
        os.environ.pop("DOCKER_HOST", None)
        NotebookClient(
            notebook, timeout=CELL_TIMEOUT, resources={"metadata": {"path": str(path.parent)}}
        ).execute()
    names = {
        str(engine.socket): str(DEFAULT_SOCKET),
        str(engine.root): str(DEFAULT_ROOT),
        engine.instance: DEFAULT_INSTANCE,
    }
    for cell, old in zip(notebook.cells, before.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs = [_plain(output, names) for output in _joined(cell.outputs)]
            cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags"}
            ignored = IGNORED in cell.metadata.get("tags", []) and old.outputs and not fresh
            if ignored or _comparable(cell.outputs) == _comparable(old.outputs):
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


def _plain(output: Any, names: dict[str, str]) -> Any:
    if "data" in output:
        output.data.pop(WIDGET, None)
    if "text" in output:
        for ours, theirs in names.items():
            output.text = output.text.replace(ours, theirs)
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
    words = [word for word in sys.argv[1:] if word != "--fresh"]
    for lesson in [Path(word).resolve() for word in words] or LESSONS:
        changed = save(lesson, fresh="--fresh" in sys.argv)
        sys.stdout.write(f"{lesson.name}: {'saved' if changed else 'unchanged'}\n")
