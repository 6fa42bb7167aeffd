"""The views' words: one table for each view, `words.json` beside its code, read by Python and sent to the
browser.

A word is a sentence with `{names}` to fill in; `one thing|{n} things` chooses by `n`. A language that
lacks a word takes the English one.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Table = dict[str, dict[str, str]]


@functools.cache
def table(view: str) -> Table:
    """The words of a view together with those of the kit, by language."""
    kit, own = (json.loads((HERE / name / "words.json").read_text("utf-8")) for name in ("kit", view))
    return {language: {**kit[language], **own[language]} for language in kit}


class Words:
    """`words("paths", n=3)` in one language."""

    def __init__(self, view: str, language: str = "en") -> None:
        words = table(view)
        self._words = {**words["en"], **words.get(language, {})}

    def __call__(self, key: str, **values: Any) -> str:
        """The sentence of `key`; a key that is not in the table is its own sentence."""
        text = self._words.get(key, key)
        if "|" in text:
            text = text.split("|")[0 if values.get("n") == 1 else 1]
        return text.format_map({name: _shown(value) for name, value in values.items()})

    def listing(self, items: list[str]) -> str:
        """`a, b and c`."""
        if len(items) < 2:
            return "".join(items)
        return self("comma").join(items[:-1]) + self("and") + items[-1]


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def size(count: int) -> str:
    """Bytes as Docker prints them for images: powers of 1000, one decimal from a megabyte on."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    if count >= 1e6:
        return f"{count / 1e6:.1f} MB"
    return f"{round(count / 1e3)} kB" if count >= 1e3 else f"{count} B"
