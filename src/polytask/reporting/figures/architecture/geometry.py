"""Places in pixels: columns, cells, tracks and the corners of every line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from polytask.reporting.figures.architecture.routes import MARGIN, Lane, lanes, nets, passed, without_overlap
from polytask.reporting.figures.architecture.rows import Cell, Group, at_most, cells
from polytask.reporting.figures.letters import width_of

#: The drawing is not wider than the text of a page, if that is possible.
WIDTH = 945

BOX_HEIGHT, BAR_HEIGHT, HEADER, LABEL_PAD = 38, 24, 30, 6
_NARROWEST, _USUAL, _LONGEST = 66.0, 116.0, 180.0
_GAP, _BETWEEN, _PAD = 6.0, 14.0, 5.0
_LANE, _TRACK, _CHANNEL = 7.0, 7.0, 22.0
_STUB = 10.0  # below boxes that take the input from afar, a letter stands
_EDGE = 4.0  # a line ends at least so far from the corner of a box


@dataclass(frozen=True)
class Placed:
    """A cell and its rectangle."""

    cell: Cell
    x0: float
    x1: float
    top: float
    bottom: float

    @property
    def centre(self) -> float:
        return (self.x0 + self.x1) / 2

    @property
    def is_framed(self) -> bool:
        return len(self.cell.boxes) > 1

    def box_ends(self, k: int) -> tuple[float, float]:
        """Left and right edge of its k-th box."""
        pad = _PAD if self.is_framed else 0.0
        n = len(self.cell.boxes)
        width = (self.x1 - self.x0 - 2 * pad - _GAP * (n - 1)) / n
        left = self.x0 + pad + k * (width + _GAP)
        return left, left + width


#: The corners of a line.
Line = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Layout:
    """Everything with its place; y grows downwards, so that the input has the largest."""

    width: float
    columns: list[tuple[float, float]]
    cells: list[Placed]
    lines: dict[int, list[Line]]  # by net
    bar: float  # top of the bar that stands for the input


def layout(stacked: Sequence[Sequence[Group]], n_columns: int) -> Layout:
    """Places for all rows, from the input (below) upwards."""
    found, widths, beside = _arranged(stacked, n_columns, WIDTH)
    if beside:  # once more, now that it is known how much room the lanes take
        margin = _BETWEEN if any(column == MARGIN for _, column in beside) else 0.0
        taken = margin + sum(_room(beside, k) for k in (*range(n_columns), MARGIN))
        found, widths, beside = _arranged(stacked, n_columns, WIDTH - taken)
    columns = _columns([w + _room(beside, k) for k, w in enumerate(widths)])
    ends = [_ends(cell, columns, beside) for cell in found]
    return _stacked(found, columns, ends, _ways(found, ends, lanes(found), columns))


def _arranged(
    stacked: Sequence[Sequence[Group]], n_columns: int, width: float
) -> tuple[list[Cell], list[float], dict[tuple[int, int], int]]:
    """Cells, widths of the columns, and how many lanes pass each row beside each column."""
    widths = _widths(stacked, n_columns, width)
    found = cells([[at_most(group, _fitting(_span(group, widths))) for group in row] for row in stacked])
    return found, widths, passed(lanes(found), found)


def _room(beside: Mapping[tuple[int, int], int], column: int) -> float:
    return _LANE * max((n for (_, c), n in beside.items() if c == column), default=0)


# ---------------------------------------------------------------------- across


def _widths(stacked: Sequence[Sequence[Group]], n_columns: int, width: float) -> list[float]:
    """Widths of the columns: enough for the boxes side by side, as far as there is room."""
    most = (width + _BETWEEN) / n_columns - _BETWEEN
    widths = [max(_NARROWEST, min(_USUAL, most))] * n_columns
    groups = [group for row in stacked for group in row]
    for wanted in (_needed, _readable):
        _widen_alone(widths, groups, wanted, width)
        for group in groups:
            first, last = group[0].first, group[0].last
            missing = min(wanted(group) - _span(group, widths), _left(widths, width))
            if last > first and missing > 0:
                widths[first : last + 1] = [
                    w + missing / (last + 1 - first) for w in widths[first : last + 1]
                ]
    return widths


def _widen_alone(
    widths: list[float], groups: Sequence[Group], wanted: Callable[[Group], float], width: float
) -> None:
    """Give each column what its own boxes want; all get the same share of it, where there is too little."""
    missing = [0.0] * len(widths)
    for group in groups:
        if not group[0].is_wide:
            k = group[0].first
            missing[k] = max(missing[k], wanted(group) - widths[k])
    share = min(1.0, max(0.0, _left(widths, width)) / (sum(missing) or 1.0))
    widths[:] = [w + share * more for w, more in zip(widths, missing)]


def _left(widths: Sequence[float], width: float) -> float:
    return width - sum(widths) - _BETWEEN * (len(widths) - 1)


def _needed(group: Group) -> float:
    return _side_by_side(len(group), _NARROWEST)


def _readable(group: Group) -> float:
    """So that labels need not be cut."""
    return _side_by_side(len(group), min(_LONGEST, max(width_of(box.label) for box in group) + 2 * LABEL_PAD))


def _side_by_side(n_boxes: int, width: float) -> float:
    return n_boxes * (width + _GAP) - _GAP + (2 * _PAD if n_boxes > 1 else 0.0)


def _fitting(width: float) -> int:
    """How many boxes fit side by side."""
    n = 1
    while _side_by_side(n + 1, _NARROWEST) <= width + 1e-6:
        n += 1
    return n


def _span(group: Group, widths: Sequence[float]) -> float:
    first, last = group[0].first, group[0].last
    return sum(widths[first : last + 1]) + _BETWEEN * (last - first)


def _columns(widths: Sequence[float]) -> list[tuple[float, float]]:
    out, left = [], 0.0
    for width in widths:
        out.append((left, left + width))
        left += width + _BETWEEN
    return out


def _ends(
    cell: Cell, columns: Sequence[tuple[float, float]], beside: Mapping[tuple[int, int], int]
) -> tuple[float, float]:
    """Left and right edge of a cell, which leaves room for the lanes that pass it."""
    x0, x1 = columns[cell.first][0], columns[cell.last][1]
    if cell.first == cell.last:
        x0 += _LANE * beside.get((cell.row, cell.first), 0)
    step = (x1 - x0 + _GAP) / cell.size
    left = x0 + cell.start * step
    return left, left + len(cell.boxes) * step - _GAP


# ---------------------------------------------------------------------- lines


@dataclass(frozen=True)
class _Way:
    """A line without heights: it leaves at x, and turns to another x in each of these channels."""

    net: int
    source: int
    consumer: int
    x: float
    turns: tuple[tuple[int, float], ...]


def _ways(
    found: Sequence[Cell],
    ends: Sequence[tuple[float, float]],
    lane_of: Mapping[tuple[int, int], Lane],
    columns: Sequence[tuple[float, float]],
) -> list[_Way]:
    """The way of each line; channel r lies above row r."""
    out, net_of = [], nets(found)
    for k, consumer in enumerate(found):
        entries = _entries(k, found, ends, lane_of, columns)
        for s in consumer.inputs:
            at = entries[s]
            lane = lane_of.get((s, k))
            through = at if lane is None else _x_of(lane, columns)
            start = through if _inside(through, ends[s]) else sum(ends[s]) / 2
            below, above = (found[s].row, through), (consumer.row - 1, at)
            turns = [turn for turn, x in ((below, start), (above, through)) if turn[1] != x]
            out.append(_Way(net_of[s], s, k, start, tuple(turns)))
    return out


def _entries(
    k: int,
    found: Sequence[Cell],
    ends: Sequence[tuple[float, float]],
    lane_of: Mapping[tuple[int, int], Lane],
    columns: Sequence[tuple[float, float]],
) -> dict[int, float]:
    """Where each line reaches a cell: straight from below where that is possible, else on its right half."""
    out, others, net_of = {}, [], nets(found)
    for s in found[k].inputs:
        lane = lane_of.get((s, k))
        x = _x_of(lane, columns) if lane else _common(ends[s], ends[k])
        if x is not None and _inside(x, ends[k]):
            out[s] = x
        else:
            others.append(s)
    x0, x1 = ends[k]
    slots = list(dict.fromkeys(net_of[s] for s in others))
    step = (x1 - x0) / 2 / (len(slots) + 1 + found[k].takes_input)
    return out | {s: (x0 + x1) / 2 + step * (1 + slots.index(net_of[s])) for s in others}


def _common(a: tuple[float, float], b: tuple[float, float]) -> float | None:
    low, high = max(a[0], b[0]), min(a[1], b[1])
    return (low + high) / 2 if high - low >= 2 * _EDGE else None


def _inside(x: float, ends: tuple[float, float]) -> bool:
    return ends[0] + _EDGE <= x <= ends[1] - _EDGE


def _x_of(lane: Lane, columns: Sequence[tuple[float, float]]) -> float:
    if lane.column == MARGIN:
        return columns[-1][1] + _BETWEEN + _LANE * lane.index
    return columns[lane.column][0] + _LANE * lane.index + _EDGE


# ---------------------------------------------------------------------- upwards


def _stacked(
    found: Sequence[Cell],
    columns: list[tuple[float, float]],
    ends: Sequence[tuple[float, float]],
    ways: Sequence[_Way],
) -> Layout:
    """Heights for rows and for the channels between them, as many tracks as each needs."""
    n_rows = 1 + max(cell.row for cell in found)
    tracks = {r: _tracks(r, ways) for r in range(n_rows)}
    framed = {cell.row for cell in found if len(cell.boxes) > 1}
    high = [BOX_HEIGHT + (2 * _PAD if r in framed else 0.0) for r in range(n_rows)]
    tops, channels, y = [0.0] * n_rows, [0.0] * n_rows, float(HEADER)
    for r in reversed(range(n_rows)):
        tops[r] = y
        y += high[r] + _CHANNEL
        if r and tracks[r - 1]:
            stubs = any(cell.row == r and cell.takes_input for cell in found)
            channels[r - 1] = y - _CHANNEL / 2 + (_STUB if stubs else 0.0)
            y += _TRACK * max(tracks[r - 1].values()) + (_STUB if stubs else 0.0)
    placed = [_placed(cell, e, tops[cell.row], high[cell.row]) for cell, e in zip(found, ends)]
    lines: dict[int, list[Line]] = {}
    for way in ways:
        at = {r: channels[r] + _TRACK * tracks[r][way.net] for r, _ in way.turns}
        lines.setdefault(way.net, []).append(_corners(way, placed, at))
    right = max([columns[-1][1], *(x for net in lines.values() for line in net for x, _ in line)])
    return Layout(right, columns, placed, lines, y)


def _tracks(row: int, ways: Sequence[_Way]) -> dict[int, int]:
    """The track of each net in the channel above a row."""
    spans: dict[int, tuple[float, float]] = {}
    for way in ways:
        x = way.x
        for channel, to in way.turns:
            if channel == row:
                low, high = spans.get(way.net, (x, x))
                spans[way.net] = (min(low, x, to), max(high, x, to))
            x = to
    return without_overlap(spans)


def _placed(cell: Cell, ends: tuple[float, float], top: float, high: float) -> Placed:
    own = BOX_HEIGHT + (2 * _PAD if len(cell.boxes) > 1 else 0.0)
    above = top + (high - own) / 2
    return Placed(cell, *ends, above, above + own)


def _corners(way: _Way, placed: Sequence[Placed], track: Mapping[int, float]) -> Line:
    x, corners = way.x, [(way.x, placed[way.source].top)]
    for channel, to in way.turns:
        corners += [(x, track[channel]), (to, track[channel])]
        x = to
    return (*corners, (x, placed[way.consumer].bottom))
