"""What kinds of parts look like, and the colours of tasks."""

from __future__ import annotations

from collections.abc import Sequence

from polytask.reporting.markup import Html, element

#: So many tasks have a colour of their own.
TONES = 12

_LIGHT = (
    *("19 98 184", "200 84 10", "12 128 92", "124 66 170", "150 112 0", "196 44 112"),
    *("0 128 152", "186 42 42", "88 118 16", "78 76 196", "130 84 58", "150 56 150"),
)
_DARK = (
    *("104 174 250", "246 146 86", "84 202 156", "192 152 248", "222 192 84", "248 132 184"),
    *("92 204 224", "250 124 124", "178 208 96", "154 154 255", "214 168 134", "230 144 226"),
)


def _tones(colours: Sequence[str]) -> str:
    return "".join(f".task{k}{{--tone:{colour}}}" for k, colour in enumerate(colours))


#: Rules that a page with a drawing needs.
STYLE = (
    f"{_tones(_LIGHT)}@media (prefers-color-scheme:dark){{{_tones(_DARK)}}}@media print{{{_tones(_LIGHT)}}}"
    "svg.drawing{display:block;overflow:visible}"
    "@media print{svg.drawing{max-width:100%;height:auto}}"
    ".drawing .box{fill:rgb(var(--tone)/.17);stroke:rgb(var(--tone));stroke-width:1.25}"
    ".drawing .same>.box{fill:rgb(var(--tone)/.13)}"
    ".drawing .each>.box{fill:none}"
    ".drawing .back{fill:var(--surface)}"
    ".drawing .segment{fill:rgb(var(--tone))}"
    ".drawing .frame{fill:none;stroke:var(--muted);stroke-opacity:.55;stroke-dasharray:2 3}"
    ".drawing .bar{fill:var(--faint);stroke:var(--line)}"
    ".drawing .wire{fill:none;stroke:var(--wire);stroke-width:1.25}"
    ".drawing .tip{fill:var(--wire)}"
    ".drawing{--wire:#9a9fa7}@media (prefers-color-scheme:dark){.drawing{--wire:#6d747e}}"
    ".drawing text{text-anchor:middle}.drawing .what{fill:var(--ink)}.drawing .size{font-size:11px}"
    ".drawing text.left{text-anchor:start}"
    ".drawing .dash{stroke-dasharray:5 3}.drawing .dots{stroke-dasharray:1.5 2.5;stroke-linecap:round}"
)


def outline(kind: str, x0: float, y0: float, x1: float, y1: float) -> Html:
    """The outline of a box; kinds that are not known look like layers."""
    d, dashes = _path(kind, x0, y0, x1, y1)
    return element("path", d=d, class_=f"box {dashes}".rstrip())


def back(kind: str, x0: float, y0: float, x1: float, y1: float) -> Html:
    """The same shape in the colour of the page, so that nothing shines through a box."""
    return element("path", d=_path(kind, x0, y0, x1, y1)[0], class_="back")


def _path(kind: str, x0: float, y0: float, x1: float, y1: float) -> tuple[str, str]:
    middle = (y0 + y1) / 2
    if kind == "gate":
        points = [(x0, middle), (x0 + 8, y0), (x1 - 8, y0), (x1, middle), (x1 - 8, y1), (x0 + 8, y1)]
        return _polygon(points), ""
    if kind == "attention":
        return _polygon([(x0 + 8, y0), (x1, y0), (x1 - 8, y1), (x0, y1)]), ""
    if kind == "head":
        points = [(x0, y1), (x0, y0 + 8), (x0 + 8, y0), (x1 - 8, y0), (x1, y0 + 8), (x1, y1)]
        return _polygon(points), ""
    if kind == "expert":
        return _rounded(x0, y0, x1, y1, 13), ""
    if kind == "stitch":
        return _rounded(x0, y0, x1, y1, (y1 - y0) / 2), "dash"
    if kind == "condition":
        return _rounded(x0, y0, x1, y1, 4), "dots"
    return _rounded(x0, y0, x1, y1, 4), ""


def _polygon(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points) + "Z"


def _rounded(x0: float, y0: float, x1: float, y1: float, r: float) -> str:
    r = min(r, (x1 - x0) / 2, (y1 - y0) / 2)
    turn = f"a{_n(r)} {_n(r)} 0 0 1 "
    return (
        f"M{_n(x0 + r)} {_n(y0)}H{_n(x1 - r)}{turn}{_n(r)} {_n(r)}V{_n(y1 - r)}{turn}{_n(-r)} {_n(r)}"
        f"H{_n(x0 + r)}{turn}{_n(-r)} {_n(-r)}V{_n(y0 + r)}{turn}{_n(r)} {_n(-r)}Z"
    )


def wires(lines: Sequence[Sequence[tuple[float, float]]]) -> Html:
    """Lines with rounded corners as one shape: where they lie on each other they are not darker."""
    return element("path", d="".join(map(_rounded_line, lines)), class_="wire")


def _rounded_line(corners: Sequence[tuple[float, float]], radius: float = 5.0) -> str:
    d = [f"M{_n(corners[0][0])} {_n(corners[0][1])}"]
    for (x0, y0), (x1, y1), (x2, y2) in zip(corners, corners[1:], corners[2:]):
        r = min(radius, (abs(x1 - x0) + abs(y1 - y0)) / 2, (abs(x2 - x1) + abs(y2 - y1)) / 2)
        d.append(f"L{_n(x1 - r * _sign(x1 - x0))} {_n(y1 - r * _sign(y1 - y0))}")
        d.append(f"Q{_n(x1)} {_n(y1)} {_n(x1 + r * _sign(x2 - x1))} {_n(y1 + r * _sign(y2 - y1))}")
    return "".join([*d, f"L{_n(corners[-1][0])} {_n(corners[-1][1])}"])


def tip(x: float, y: float) -> Html:
    """The head of an arrow that points up to (x, y)."""
    return element("path", d=_polygon([(x - 3.5, y + 6), (x, y), (x + 3.5, y + 6)]), class_="tip")


def _sign(value: float) -> float:
    return (value > 0) - (value < 0)


def _n(value: float) -> str:
    return f"{round(value, 1):g}"
