"""Where lines go: up in lanes beside the columns, sideways on tracks between the rows.

Sources of one row that feed the same are one net: their lines may lie on each other. Those of two nets never do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polytask.reporting.figures.architecture.rows import Cell, Group, cells

#: In place of a column: to the right of all.
MARGIN = -1

_ROUND = 2  # so many nets may go round by the margin


@dataclass(frozen=True)
class Lane:
    """A way up through rows in which other boxes are: beside a column, `index` counts from its left edge."""

    column: int
    index: int


def needs_a_side(stacked: Sequence[Sequence[Group]]) -> bool:
    """Whether what is common belongs in a column of its own, beside those of the tasks.

    So it does if a line from one task's box would have to go behind a wide one, if a layer is common and of
    a task at once, or if many lines would have to go round.
    """
    found = cells(stacked)
    wide = [cell for cell in found if cell.first < cell.last]
    narrow = [cell for cell in found if cell.first == cell.last]
    for consumer in found:
        for source in (found[s] for s in consumer.inputs):
            between = range(source.row + 1, consumer.row)
            if source in narrow and any(w.row in between and _covers(w, source) for w in wide):
                return True
    if any(_covers(w, cell) and w.what == cell.what for cell in narrow for w in wide):
        return True
    net_of = nets(found)
    return len({net_of[s] for (s, _), lane in lanes(found).items() if lane.column == MARGIN}) > _ROUND


def free_columns(found: Sequence[Cell], source: Cell, consumer: Cell) -> bool:
    """Whether nothing lies between two cells in the columns that both have."""
    low, high = max(source.first, consumer.first), min(source.last, consumer.last)
    between = range(source.row + 1, consumer.row)
    return not any(c.row in between and c.first <= high and low <= c.last for c in found) and low <= high


def nets(found: Sequence[Cell]) -> list[int]:
    """For each cell the first cell of its row that has the same consumers."""
    first: dict[tuple[int, tuple[int, ...]], int] = {}
    out = []
    for s, cell in enumerate(found):
        consumers = tuple(k for k, consumer in enumerate(found) if s in consumer.inputs)
        out.append(first.setdefault((cell.row, consumers), s))
    return out


def lanes(found: Sequence[Cell]) -> dict[tuple[int, int], Lane]:
    """The lane of each (source, consumer) whose line passes rows in which it meets boxes."""
    net_of = nets(found)
    wanted: dict[tuple[int, int], list[tuple[int, int]]] = {}  # (column, net) → (source, consumer)
    for k, consumer in enumerate(found):
        for s in consumer.inputs:
            source = found[s]
            if consumer.row > source.row + 1 and not free_columns(found, source, consumer):
                wanted.setdefault((_column(found, source, consumer), net_of[s]), []).append((s, k))
    out: dict[tuple[int, int], Lane] = {}
    for column in sorted({column for column, _ in wanted}):
        mine = {net: pairs for (c, net), pairs in wanted.items() if c == column}
        spans = {n: (found[n].row, max(found[k].row for _, k in pairs)) for n, pairs in mine.items()}
        for net, index in without_overlap(spans).items():
            out |= dict.fromkeys(mine[net], Lane(column, index))
    return out


def passed(lane_of: Mapping[tuple[int, int], Lane], found: Sequence[Cell]) -> dict[tuple[int, int], int]:
    """How many lanes there are to the left of the boxes, by (row, column)."""
    out: dict[tuple[int, int], int] = {}
    for (s, k), lane in lane_of.items():
        for row in range(found[s].row + 1, found[k].row):
            out[row, lane.column] = max(out.get((row, lane.column), 0), lane.index + 1)
    return out


def without_overlap(spans: Mapping[int, tuple[float, float]]) -> dict[int, int]:
    """The lowest number for each key such that spans with the same number do not overlap."""
    given: dict[int, int] = {}
    for key, (low, high) in sorted(spans.items(), key=lambda item: (item[1], item[0])):
        taken = {
            given[other]
            for other, (start, end) in spans.items()
            if other in given and start < high and low < end
        }
        given[key] = next(n for n in range(len(spans) + 1) if n not in taken)
    return given


def _column(found: Sequence[Cell], source: Cell, consumer: Cell) -> int:
    """The narrow end's column; the right margin where boxes that span several columns are in the way."""
    narrow = next((cell for cell in (consumer, source) if cell.first == cell.last), None)
    if narrow is None:
        return MARGIN
    between = range(source.row + 1, consumer.row)
    blocked = any(c.row in between and c.first < c.last and _covers(c, narrow) for c in found)
    return MARGIN if blocked else narrow.first


def _covers(wide: Cell, narrow: Cell) -> bool:
    return wide.first <= narrow.first <= wide.last
