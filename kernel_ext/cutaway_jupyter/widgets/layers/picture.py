"""The layers as a sentence and as a picture, in normal form.

What an image brought from another image is told by that image's name and whole megabytes: a distribution's
package differs from release to release, and the picture of a lesson should not.
"""

from __future__ import annotations

from cutaway_jupyter.widgets import picture
from cutaway_jupyter.widgets.picture import Paper, clip
from cutaway_jupyter.widgets.source import Json
from cutaway_jupyter.widgets.words import Words, size

ROW, META, TOP = 34, 22, 62
BAR = 112  # px for the largest layer
COLUMNS = 36  # characters of an instruction


def describe(data: Json, language: str = "en") -> str:
    """`Image lab/first: 2.0 MB in 2 layers, lowest first: FROM busybox, RUN …. Container web has …`."""
    words = Words("layers", language)
    slabs = [line for line in data["lines"] if line["layer"]]
    own = sum(line["layer"]["size"] for line in slabs if not line["from"])
    base = [line["from"] for line in slabs if line["from"]]
    total = size(own) if not base else f"{size(own)} + {base[-1]}"
    text = words(
        "sentence image",
        image=data["image"]["name"],
        size=total,
        n=len(slabs),
        lines="; ".join(clip(line["instruction"], COLUMNS) for line in slabs),
    )
    if data["writable"]:
        changes = {key: data["writable"][key] for key in ("added", "changed", "deleted")}
        text += " " if language == "en" else ""
        text += words("sentence writable", name=data["container"]["name"], **changes)
    return text


def draw(data: Json, language: str = "en") -> str:
    """The stack: settings as thin lines, layers as slabs, the writable layer on top, the host below."""
    words, paper = Words("layers", language), Paper(language)
    slabs = [line for line in data["lines"] if line["layer"]]
    scale = BAR / max([1, *map(_rounded, slabs)])
    paper.text(16, 28, words("title"), "h")
    paper.text(90, 28, data["image"]["name"])
    paper.text(804, 28, words("picture"), "m e")
    for key, x in (("step", 30), ("instruction", 62), ("size", 340), ("from", 690)):
        paper.text(x, 54, words(key), "m")
    paper.text(674, 54, words("counts"), "m e")
    y = TOP
    if data["writable"]:
        _writable(paper, words, data, y)
        y += ROW + 8
    for line in reversed(data["lines"]):
        if line["layer"]:
            _slab(paper, words, line, y, scale)
            y += ROW
        else:
            _setting(paper, words, line, y)
            y += META
    paper.box(16, y, 788, 2, picture.HOST)
    paper.box(16, y + 2, 788, 6, "url(#ground)")
    y += 20
    if any(line["layer"]["hidden"] for line in slabs):
        paper.box(16, y, 20, 10, picture.IMAGE)
        paper.box(16, y, 20, 10, "url(#hidden)")
        paper.text(44, y + 9, words("legend"), "m")
        y += 22
    return paper.svg(f"{words('title')}: {data['image']['name']}", describe(data, language), y)


def _slab(paper: Paper, words: Words, line: Json, y: int, scale: float) -> None:
    layer = line["layer"]
    paper.box(16.5, y, 787, ROW, picture.IMAGE_TINT, picture.IMAGE)
    paper.box(16, y, 5, ROW, picture.IMAGE)
    paper.text(30, y + 22, str(line["step"]), "m")
    paper.text(62, y + 22, clip(line["instruction"], COLUMNS), "c")
    _bar(paper, y, _rounded(line) * scale, layer["hidden"] * scale)
    paper.text(526, y + 22, size(_rounded(line)), "e")
    if not line["from"]:
        _counts(paper, layer, y)
    paper.text(690, y + 22, clip(line["from"] or words("this image"), 16))


def _bar(paper: Paper, y: int, filled: float, hidden: float) -> None:
    filled = round(max(2.0, filled), 1) if filled else 1.0
    paper.box(340, y + 12, filled, 10, picture.IMAGE)
    if hidden:
        hidden = min(filled, round(max(3.0, hidden), 1))
        paper.box(round(340 + filled - hidden, 1), y + 12, hidden, 10, "url(#hidden)")


def _setting(paper: Paper, words: Words, line: Json, y: int) -> None:
    paper.box(16.5, y, 787, META, "#fff", "#d0d0d0", stroke_dasharray="3 3")
    paper.text(30, y + 15, str(line["step"]), "m")
    paper.text(62, y + 15, clip(line["instruction"], COLUMNS), "c m")
    paper.text(340, y + 15, words("settings"), "m")


def _writable(paper: Paper, words: Words, data: Json, y: int) -> None:
    dashed = {"rx": "7", "stroke_width": "2", "stroke_dasharray": "6 4"}
    paper.box(17, y, 786, ROW, picture.CONTAINER_TINT, picture.CONTAINER, **dashed)
    paper.text(62, y + 22, words("writable", name=data["container"]["name"]), "b")
    paper.text(526, y + 22, size(data["writable"]["size"]), "e")
    _counts(paper, data["writable"], y)
    paper.text(690, y + 22, words("not in the image"), "m")


def _counts(paper: Paper, counts: Json, y: int) -> None:
    for x, sign, key in ((588, "+", "added"), (630, "~", "changed"), (674, "−", "deleted")):
        if counts[key] is not None:
            paper.text(x, y + 22, f"{sign}{counts[key]:,}", "c e" if counts[key] else "c e m")


def _rounded(line: Json) -> int:
    """Bytes of our own layers as they are; of another image's to the megabyte."""
    exact: int = line["layer"]["size"]
    return max(1, round(exact / 1e6)) * 1_000_000 if line["from"] and exact >= 500_000 else exact
