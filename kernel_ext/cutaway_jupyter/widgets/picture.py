"""Pictures for a notebook without a kernel: one SVG of 820 px on its own white paper, in an `<img>`.

Jupyter drops inline `<svg>` from a notebook that it does not trust, and keeps an image that is a data
address. Such an image knows nothing of Lab's theme, so it brings its own paper and colours; it has no
script, no font and no file.

A picture is drawn from a *normal form*, always, so that a lesson that runs again gives the same picture to
the last byte: names and no ids, no times, no inode or process numbers, nothing that is the machine's own
(host name, addresses, size to the byte of what came from the distribution). The live view beside it shows
all of these.
"""

from __future__ import annotations

import base64
import html

WIDTH = 820
INK, SECOND = "#212121", "#575757"
IMAGE, IMAGE_TINT = "#1f5fbf", "#e4ebf7"
CONTAINER, CONTAINER_TINT, SHARED_TINT = "#9c5200", "#f3eae0", "#e7d6c2"
HOST, HOST_TINT = "#4f5b66", "#eaebed"

_FONTS = "system-ui,'Segoe UI','DejaVu Sans',Arial,'Noto Sans CJK SC','Microsoft YaHei',sans-serif"
_STYLE = (
    f"text{{font:12px {_FONTS};fill:{INK}}}.m{{fill:{SECOND}}}.b{{font-weight:600}}"
    ".h{font-size:15px;font-weight:600}.e{text-anchor:end}"
    ".c{font-family:Menlo,Consolas,'DejaVu Sans Mono',monospace}"
)
_HATCHES = (
    '<defs><pattern id="hidden" width="4" height="4" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)">'
    '<path d="M0 0V4" stroke="#fff" stroke-width="1.8"/></pattern>'
    '<pattern id="ground" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    f'<path d="M0 0V6" stroke="{HOST}" stroke-width="1.4"/></pattern></defs>'
)


class Paper:
    """A sheet to draw on. Every text is escaped here and nowhere else; coordinates are pixels."""

    def __init__(self, language: str = "en") -> None:
        self._language = language
        self._shapes: list[str] = []

    def text(self, x: float, y: float, text: str, classes: str = "") -> None:
        """Text with its baseline at `y`. Classes: h head, b bold, m muted, c code, e ends at `x`."""
        self._shapes.append(f'<text x="{x:g}" y="{y:g}" class="{classes}">{html.escape(text)}</text>')

    def box(
        self, x: float, y: float, width: float, height: float, fill: str, stroke: str = "none", **more: str
    ) -> None:
        """A rectangle. `more` are SVG attributes, `_` for `-`: `rx="4"`, `stroke_dasharray="5 3"`."""
        extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
        place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
        self._shapes.append(f'<rect {place} fill="{fill}" stroke="{stroke}"{extra}/>')

    def svg(self, title: str, description: str, height: int) -> str:
        """The whole picture as text of an SVG file."""
        place = f'x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}"'
        frame = f'<rect {place} rx="4" fill="#fff" stroke="#d0d0d0"/>'
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
            f' viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="t d" lang="{self._language}">'
            f'<title id="t">{html.escape(title)}</title><desc id="d">{html.escape(description)}</desc>'
        )
        return "\n".join([head, f"<style>{_STYLE}</style>", _HATCHES, frame, *self._shapes, "</svg>"])


def clip(text: str, columns: int) -> str:
    """At most `columns` characters; what is cut off is an ellipsis."""
    return text if len(text) <= columns else text[: columns - 1] + "…"


def image_tag(svg: str, alternative: str) -> str:
    """The `<img>` that carries an SVG through Jupyter's sanitiser."""
    address = base64.b64encode(svg.encode()).decode()
    return (
        f'<img src="data:image/svg+xml;base64,{address}" alt="{html.escape(alternative)}" width="{WIDTH}"'
        ' style="max-width:100%">'
    )
