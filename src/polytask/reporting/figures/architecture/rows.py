"""Which row each box is in, and which boxes of a row belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polytask.reporting.figures.architecture.boxes import KINDS, Box, links, merged

#: Boxes of one row with the same columns, side by side.
Group = list[Box]


@dataclass(frozen=True)
class Cell:
    """Boxes of a group that take the same and feed the same: lines go to all of them at once.

    Attributes
    ----------
    boxes : tuple of Box
    row : int
        From the input upwards.
    start, size : int
        Where in its group it begins, and how many boxes the group has.
    inputs : tuple of int
        Positions of the cells that it takes, see `cells`.
    takes_input : bool
        Whether it takes x itself.
    """

    boxes: tuple[Box, ...]
    row: int
    start: int
    size: int
    inputs: tuple[int, ...]
    takes_input: bool

    @property
    def first(self) -> int:
        return self.boxes[0].first

    @property
    def what(self) -> tuple[int, str]:
        """Layer and kind."""
        return self.boxes[0].layer, self.boxes[0].kind

    @property
    def last(self) -> int:
        return self.boxes[0].last


def rows(found: Sequence[Box]) -> list[list[Group]]:
    """Groups of boxes row by row, from the input upwards; a layer has a row for each kind, where they meet."""
    out: list[list[Group]] = []
    for layer in sorted({box.layer for box in found}):
        mine: list[list[Group]] = []
        for group in _groups([box for box in found if box.layer == layer]):
            row = next((row for row in mine if not any(_meet(group, other) for other in row)), None)
            if row is None:
                mine.append(row := [])
            row.append(group)
        out += [sorted(row, key=lambda group: group[0].first) for row in mine]
    return out


def cells(stacked: Sequence[Sequence[Group]]) -> list[Cell]:
    """Cells in the order of the rows; every cell's inputs come before it."""
    every = [box for row in stacked for group in row for box in group]
    pairs = links(every)
    sources = [frozenset(s for s, c in pairs if c == k) for k in range(len(every))]
    consumers = [frozenset(c for s, c in pairs if s == k) for k in range(len(every))]
    meets = [(s, c, box.takes_input) for s, c, box in zip(sources, consumers, every)]
    made: list[tuple[int, int, int, list[int]]] = []  # row, start, size, boxes
    k = 0
    for r, row in enumerate(stacked):
        for group in row:
            for i in range(len(group)):
                same = i and meets[k] == meets[k - 1]
                if same:
                    made[-1][3].append(k)
                else:
                    made.append((r, i, len(group), [k]))
                k += 1
    cell_of = {k: c for c, (*_, members) in enumerate(made) for k in members}
    return [
        Cell(
            tuple(every[k] for k in members),
            row,
            start,
            size,
            tuple(sorted({cell_of[s] for s in sources[members[0]]})),
            every[members[0]].takes_input,
        )
        for row, start, size, members in made
    ]


def at_most(group: Group, n: int) -> Group:
    """The group with the last boxes as one, where there are more than n."""
    if len(group) <= n:
        return group
    rest = merged(group[n - 1 :])
    return [*group[: n - 1], rest]


def _groups(found: Sequence[Box]) -> list[Group]:
    """Boxes of one layer by kind and columns, the kinds in their order, wide ones before narrow ones."""
    groups: dict[tuple[str, int, int], Group] = {}
    for box in found:
        groups.setdefault((box.kind, box.first, box.last), []).append(box)
    return sorted(groups.values(), key=lambda g: (_rank(g[0].kind), g[0].first - g[0].last, g[0].first))


def _rank(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else KINDS.index("layer")


def _meet(a: Group, b: Group) -> bool:
    return a[0].first <= b[0].last and b[0].first <= a[0].last
