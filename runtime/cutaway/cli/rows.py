"""Lists of things: a table by default, ids with `-q`, whatever a template says with `--format`.

Each kind of thing says once how its columns are called and how they are made. A template may name any of
them; with `table …` it gets a header. `json` prints a line of JSON for each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from cutaway.cli.formats import table
from cutaway.cli.session import Session
from cutaway.cli.templates import Template

Row = Mapping[str, object]


def show(
    session: Session,
    rows: Iterable[Row],
    headers: Mapping[str, str],
    columns: Sequence[str],
    form: str | None,
) -> None:
    """Print rows. `headers`: each field's title; `columns`: the plain table's; `form`: `--format`."""
    if form == "json":
        for row in rows:
            session.streams.out(json.dumps(row, ensure_ascii=False))
        return
    source = (
        "table " + r"\t".join(f"{{{{.{name}}}}}" for name in columns) if form in (None, "", "table") else form
    )
    source = (source or "").replace(r"\t", "\t").replace(r"\n", "\n")
    with_header = source.startswith("table ")
    template = Template(source.removeprefix("table "))
    lines = [template.render(row) for row in rows]
    if with_header:
        lines.insert(0, _header(template, source, headers))
    if lines:
        session.streams.out(table([line.split("\t") for line in lines]) if with_header else "\n".join(lines))


def _header(template: Template, source: str, headers: Mapping[str, str]) -> str:
    plain = re.sub(r"\{\{\s*(?:json|upper|lower|title|truncate|pad)\s+(\.\w+)[^}]*\}\}", r"{{\1}}", source)
    plain = re.sub(r"\{\{\s*\.Label\s+\"([^\"]*)\"\s*\}\}", r"\1", plain).removeprefix("table ")
    return Template(plain).render(dict(headers))
