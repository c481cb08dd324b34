"""A table of numbers as a heat map: gates, stitches, covariances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from polytask.reporting.figures.letters import fitted, width_of
from polytask.reporting.formats import number, shorten
from polytask.reporting.markup import Html, element

#: Up to so many rows and columns, values are printed in the cells.
PRINTED = 12

_SHADES = 10  # per sign; more cannot be told apart
_POINTED = 1000  # up to so many cells say their value when pointed at
_NAME, _READABLE = 150, 12  # pixels: longest name, lowest row with a name
_LEGEND_WIDTH, _LEGEND_HEIGHT = 12, 34

#: Rules that a page with heat maps needs.
STYLE = (
    "svg.heat{display:block;overflow:visible}@media print{svg.heat{max-width:100%;height:auto}}"
    ".heat .missing{fill:none;stroke:var(--muted);stroke-opacity:.55}"
    ".heat .edge{fill:none;stroke:var(--line)}.heat .hit{fill:transparent}"
    ".heat text.row{text-anchor:end;dominant-baseline:central}.heat text.column{text-anchor:middle}"
    ".heat text.turned{text-anchor:start}"
)


class Table(Protocol):
    """Numbers with names; NaN where there is no such number."""

    @property
    def name(self) -> str: ...
    @property
    def rows(self) -> Sequence[str]: ...
    @property
    def columns(self) -> Sequence[str]: ...
    @property
    def values(self) -> np.ndarray: ...


class _Grid(NamedTuple):
    """Where cells are: sizes in pixels, and the corner of the first."""

    left: float
    top: float
    width: float
    height: float
    turned: bool


def limit_of(tables: Sequence[Table]) -> float:
    """The largest size of a number, from which the colour is full; so that several maps can be compared."""
    sizes = [np.abs(np.asarray(t.values, dtype=float)[np.isfinite(t.values)]) for t in tables]
    found = np.concatenate([np.ravel(size) for size in sizes]) if sizes else np.array([])
    return float(found.max(initial=0.0)) or 1.0


def heat_map(table: Table, limit: float | None = None) -> Html:
    """An SVG element of fixed size: blue above zero, orange below, a stroke where there is no number.

    Parameters
    ----------
    table : Matrix
        name, rows, columns and values, as `polytask.sharing.parts.Matrix`.
    limit : float, optional
        Size of a number with the full colour; by default the largest of this table.
    """
    values = np.atleast_2d(np.asarray(table.values, dtype=float))
    limit = limit_of([table]) if limit is None else limit
    grid = _grid(table, values)
    n_rows, n_columns = values.shape
    right, bottom = grid.left + n_columns * grid.width, grid.top + n_rows * grid.height
    beyond = _beyond(table, grid)
    legend, legend_width = _legend(values, limit, grid.left, bottom + 12)
    width, height = round(max(right + beyond, grid.left + legend_width)) + 2, round(bottom + _LEGEND_HEIGHT)
    return element(
        "svg",
        element("title", f"{table.name or 'Table'}: {n_rows} × {n_columns} numbers"),
        element("desc", _in_words(table, values)),
        *_shades(values, limit, grid),
        *_missing(values, grid),
        _edge(grid, right, bottom),
        *_names(table, grid),
        *(_printed(values, limit, grid) if _is_printed(values) else _pointed(table, values, grid)),
        *legend,
        class_="heat",
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
        role="img",
    )


# ---------------------------------------------------------------------- places


def _grid(table: Table, values: np.ndarray) -> _Grid:
    width, height = _cell(values)
    left = 0.0
    if height >= _READABLE:
        left = min(_NAME, max(map(width_of, table.rows))) + 8
    turned = any(width_of(name) > width - 4 for name in table.columns)
    top = 4.0
    if not turned:
        top = 20.0
    elif width >= _READABLE:
        top = 0.8 * min(_NAME, max(map(width_of, table.columns))) + 12
    return _Grid(left, top, width, height, turned)


def _cell(values: np.ndarray) -> tuple[float, float]:
    """Width and height of a cell, whole pixels: between others, seams would show."""
    n_rows, n_columns = values.shape
    if _is_printed(values):
        limit = np.abs(values[np.isfinite(values)]).max(initial=0.0)
        texts = [width_of(shown(v, limit)) for v in values[np.isfinite(values)]]
        return float(round(max([40.0, *texts]) + 10)), 26.0
    if n_rows == n_columns:
        size = float(max(3, min(16, 780 // n_rows)))
        return size, size
    width = 36 if n_columns <= PRINTED else max(3, min(18, 560 // n_columns))
    return float(width), float(max(3, min(16, 900 // n_rows)))


def _beyond(table: Table, grid: _Grid) -> float:
    """How far the last turned name reaches past the right edge."""
    if not grid.turned or grid.width < _READABLE:
        return 0.0
    return max(0.0, 0.6 * min(_NAME, width_of(table.columns[-1])) - grid.width / 2) + 8


def _is_printed(values: np.ndarray) -> bool:
    return max(values.shape) <= PRINTED


# ---------------------------------------------------------------------- marks


def _shades(values: np.ndarray, limit: float, grid: _Grid) -> list[Html]:
    """One path per shade: a cell each would be thousands of elements."""
    known = np.where(np.isfinite(values), values, 0.0)
    shade = np.minimum(_SHADES, np.round(_SHADES * np.abs(known) / limit)).astype(int)
    out = []
    for tone, sign in (("helped", 1), ("hurt", -1)):
        for strength in range(1, _SHADES + 1):
            where = np.argwhere((shade == strength) & (np.sign(known) == sign))
            if len(where):
                d = "".join(_square(i, j, grid) for i, j in where)
                opacity = 0.92 * strength / _SHADES
                out.append(
                    element(
                        "path",
                        d=d,
                        class_=f"cell {tone}",
                        fill_opacity=opacity,
                        shape_rendering="crispEdges",
                    )
                )
    return out


def _square(i: int, j: int, grid: _Grid) -> str:
    x, y = grid.left + j * grid.width, grid.top + i * grid.height
    return f"M{x:.1f} {y:.1f}h{grid.width:.2f}v{grid.height:.2f}h{-grid.width:.2f}z"


def _missing(values: np.ndarray, grid: _Grid) -> list[Html]:
    """A stroke through each cell without a number."""
    strokes = [
        f"M{grid.left + j * grid.width + 2:.1f} {grid.top + (i + 1) * grid.height - 2:.1f}"
        f"l{grid.width - 4:.1f} {4 - grid.height:.1f}"
        for i, j in np.argwhere(~np.isfinite(values))
    ]
    return [element("path", d="".join(strokes), class_="missing")] if strokes else []


def _edge(grid: _Grid, right: float, bottom: float) -> Html:
    return element(
        "rect", x=grid.left, y=grid.top, width=right - grid.left, height=bottom - grid.top, class_="edge"
    )


def _printed(values: np.ndarray, limit: float, grid: _Grid) -> list[Html]:
    return [
        element(
            "text",
            shown(values[i, j], limit),
            class_="value on" if abs(values[i, j]) > 0.6 * limit else "value",
            x=grid.left + (j + 0.5) * grid.width,
            y=grid.top + (i + 0.5) * grid.height,
        )
        for i, j in np.argwhere(np.isfinite(values))
    ]


def _pointed(table: Table, values: np.ndarray, grid: _Grid) -> list[Html]:
    if values.size > _POINTED:
        return []
    return [
        element(
            "rect",
            element("title", f"{shorten(table.rows[i], 60)}, {shorten(table.columns[j], 60)}: {number(v)}"),
            x=grid.left + j * grid.width,
            y=grid.top + i * grid.height,
            width=grid.width,
            height=grid.height,
            class_="hit",
        )
        for (i, j), v in np.ndenumerate(values)
    ]


def _names(table: Table, grid: _Grid) -> list[Html]:
    out = []
    if grid.height >= _READABLE:
        out += [
            _name(name, _NAME, "row", grid.left - 6, grid.top + (i + 0.5) * grid.height)
            for i, name in enumerate(table.rows)
        ]
    if grid.turned and grid.width < _READABLE:
        return out
    for j, name in enumerate(table.columns):
        x, y = grid.left + (j + 0.5) * grid.width, grid.top - 6
        if grid.turned:
            turn = f"rotate(-52 {x:.1f} {y:.1f})"
            out.append(_name(name, _NAME, "turned", x + 2, y, transform=turn))
        else:
            out.append(_name(name, grid.width, "column", x, y))
    return out


def _name(name: str, room: float, class_: str, x: float, y: float, **attributes: str) -> Html:
    text = fitted(name, room)
    return element("text", element("title", name), text, x=x, y=y, class_=class_, **attributes)


def _legend(values: np.ndarray, limit: float, x: float, y: float) -> tuple[list[Html], float]:
    """The scale of the colours, from the lowest to the highest; and its width."""
    low = -_SHADES if (values < 0).any() else 0
    before = shown(-limit, limit) if low else "0"
    start = x + width_of(before) + 6
    blocks = [
        element(
            "rect",
            x=start + k * _LEGEND_WIDTH,
            y=y,
            width=_LEGEND_WIDTH,
            height=10,
            class_=f"cell {'hurt' if step < 0 else 'helped'}",
            fill_opacity=0.92 * abs(step) / _SHADES,
            shape_rendering="crispEdges",
        )
        for k, step in enumerate([*range(low, 0), *range(1, _SHADES + 1)])
    ]
    end = start + len(blocks) * _LEGEND_WIDTH + 6
    after = shown(limit, limit)
    texts = [
        element("text", before, x=x, y=y + 9, text_anchor="start"),
        element("text", after, x=end, y=y + 9, text_anchor="start"),
    ]
    if low:
        texts.append(element("text", "0", x=start + _SHADES * _LEGEND_WIDTH, y=y + 20, text_anchor="middle"))
    return [*blocks, *texts], end + width_of(after) - x


# ---------------------------------------------------------------------- words


def shown(value: float, limit: float) -> str:
    """A number as in the cells: two decimals, where these show something."""
    text = f"{value:.2f}" if 0.05 <= limit < 1000 or value == 0 else f"{value:.1e}"
    return text.replace("-", "−")


def _in_words(table: Table, values: np.ndarray) -> str:
    """Where each row has its largest number."""
    sentences = []
    for name, row in list(zip(table.rows, values))[:PRINTED]:
        if np.isfinite(row).any():
            k = int(np.nanargmax(np.abs(row)))
            sentences.append(f"{shorten(name, 40)}: {shorten(table.columns[k], 40)} {number(row[k])}.")
    return "The largest of each row. " + " ".join(sentences)
