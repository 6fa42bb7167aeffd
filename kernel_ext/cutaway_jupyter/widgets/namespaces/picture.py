"""The namespaces as sentences and as a picture, in normal form: who shares what, without a number.

Inodes, process numbers, addresses and the host's own contents differ from run to run and from machine to
machine; what a container has of its own does not.
"""

from __future__ import annotations

from cutaway_jupyter.widgets import picture
from cutaway_jupyter.widgets.namespaces.blocks import KINDS, Block
from cutaway_jupyter.widgets.picture import Paper, clip
from cutaway_jupyter.widgets.source import Json
from cutaway_jupyter.widgets.words import Words

LEFT, STEP, CELL = 96, 89, 83  # px: first column, from column to column, width of a cell
TOP, ROW, HEIGHT = 66, 72, 64


def describe(data: Json, language: str = "en") -> str:
    """`web has its own mnt, pid and net. The host's user and time show through.`"""
    words = Words("namespaces", language)
    sentences = [text for row in data["rows"][1:] for text in _of_container(words, row, data["blocks"])]
    for block in _shared_sets(data["blocks"]):
        sentences.append(
            words("sentence shared", names=words.listing(block[0]), kinds=words.listing(block[1]))
        )
    open_kinds = [block["kind"] for block in data["blocks"] if block["shape"] == "open"]
    if open_kinds:
        unique = [kind for kind in KINDS if kind in open_kinds]
        sentences.append(words("sentence open", open=words.listing(unique), n=len(unique)))
    return (" " if language == "en" else "").join(sentences) or words("empty")


def draw(data: Json, language: str = "en") -> str:
    """Eight columns; the host's row, then one row for each container."""
    words, paper = Words("namespaces", language), Paper(language)
    paper.text(16, 28, words("title"), "h")
    paper.text(136, 28, words.listing([row["name"] for row in data["rows"][1:]]))
    paper.text(804, 28, words("picture"), "m e")
    for column, kind in enumerate(KINDS):
        paper.text(LEFT + column * STEP + 2, 56, kind, "c b")
    for i, row in enumerate(data["rows"]):
        name = words("host") if i == 0 else clip(row["name"], 11)
        paper.text(16, TOP + i * ROW + HEIGHT / 2 + 4, name, "b")
    for block in data["blocks"]:
        _block(paper, words, block)
    y = TOP + len(data["rows"]) * ROW + 8
    _legend(paper, words, {block["shape"] for block in data["blocks"]}, y)
    return paper.svg(words("title"), describe(data, language), y + 32)


def _of_container(words: Words, row: Json, blocks: list[Block]) -> list[str]:
    mine = [block for block in blocks if row["name"] in block["containers"]]
    if all(block["shape"] == "none" for block in mine):
        return [words("sentence none", name=row["name"])]
    own = [block["kind"] for block in mine if block["shape"] == "own"]
    return [words("sentence own", name=row["name"], own=words.listing(own))] if own else []


def _shared_sets(blocks: list[Block]) -> list[tuple[list[str], list[str]]]:
    kinds_of: dict[tuple[str, ...], list[str]] = {}
    for block in blocks:
        if block["shape"] == "share":
            kinds_of.setdefault(tuple(block["containers"]), []).append(block["kind"])
    return [(list(names), kinds) for names, kinds in kinds_of.items()]


def _block(paper: Paper, words: Words, block: Block) -> None:
    x, y = LEFT + KINDS.index(block["kind"]) * STEP, TOP + block["row"] * ROW
    height = (block["span"] - 1) * ROW + HEIGHT
    _shape(paper, block["shape"], x, y, CELL, height)
    lines = {
        "host": [(words("the host's"), "")],
        "own": [(_content(words, block), "")],
        "share": [(words("shared"), "b"), (_content(words, block), "")],
        "open": [(words("not own"), "b"), (words("the host's"), "")],
        "none": [(words("not running"), "m")],
    }[block["shape"]]
    lines = [line for line in lines if line[0]]
    middle = y + height / 2 - 9 * len(lines) + 13
    if block["shape"] == "open":
        paper.box(x + 4, middle - 15, CELL - 8, 18 * len(lines) + 4, "#fff")
    for i, (text, classes) in enumerate(lines):
        paper.text(x + 7, middle + i * 18, clip(text, 12), classes)


def _content(words: Words, block: Block) -> str:
    """One or two words that are the same wherever the lesson runs."""
    content = block["content"] or {}
    if block["kind"] in ("mnt", "net"):
        text = str(content.get("text") or words(content.get("word", ""), **content))
        return text.split(",")[0].split(" ")[0]
    return "" if block["shape"] == "share" else words("own")


def _shape(paper: Paper, shape: str, x: float, y: float, width: float, height: float) -> None:
    if shape == "share":
        paper.box(x, y, width, height, picture.SHARED_TINT, picture.CONTAINER, rx="5", stroke_width="1.4")
        paper.box(x + 3, y + 3, width - 6, height - 6, "none", picture.CONTAINER, rx="3", stroke_width="1.4")
    elif shape == "own":
        paper.box(x, y, width, height, picture.CONTAINER_TINT, picture.CONTAINER, rx="4", stroke_width="1.5")
    elif shape == "host":
        paper.box(x, y, width, height, picture.HOST_TINT, picture.HOST, stroke_width="1.5")
    elif shape == "open":
        paper.box(x, y, width, height, "#fff")
        dashed = {"fill_opacity": ".35", "stroke_width": "1.5", "stroke_dasharray": "5 3"}
        paper.box(x, y, width, height, "url(#ground)", picture.HOST, **dashed)
    else:
        paper.box(x, y, width, height, "#fff", "#d0d0d0", stroke_dasharray="3 3")


def _legend(paper: Paper, words: Words, shapes: set[str], y: float) -> None:
    x = 16.0
    for shape in ("own", "share", "host", "open"):
        if shape in shapes:
            text = words(f"legend {shape}")
            _shape(paper, shape, x, y, 22, 14)
            paper.text(x + 30, y + 12, text, "m")
            x += 50 + 6.1 * len(text)
