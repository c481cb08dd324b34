"""Nothing covers anything: boxes, lines and names of every kind of architecture, with few and many tasks."""

from __future__ import annotations

from functools import cache
from itertools import combinations, pairwise

import pytest

from polytask.reporting.figures.architecture.boxes import complete
from polytask.reporting.figures.architecture.geometry import WIDTH, Layout, Placed
from polytask.reporting.figures.architecture.picture import _COLUMNS, _arranged, _first_that_fits
from polytask.reporting.figures.architecture.routes import nets

from ...descriptions import CASES, SIZES, odd

Segment = tuple[float, float, float, float]


KNOWN = [(name, n) for name in CASES for n in SIZES]
ODD = [("odd", seed) for seed in range(40)]


@cache
def laid_out(name: str, n: int) -> Layout:
    full = complete(odd(n) if name == "odd" else CASES[name](n))
    return _first_that_fits(_arranged(full, most) for most in _COLUMNS)[1]


@pytest.fixture(params=[*KNOWN, *ODD], ids=lambda case: f"{case[0]}-{case[1]}")
def places(request: pytest.FixtureRequest) -> Layout:
    return laid_out(*request.param)


def segments(corners: tuple[tuple[float, float], ...]) -> list[Segment]:
    """Pieces of a line, each from its lower to its higher end."""
    return [(min(xa, xb), min(ya, yb), max(xa, xb), max(ya, yb)) for (xa, ya), (xb, yb) in pairwise(corners)]


def inside(segment: Segment, placed: Placed) -> bool:
    x0, y0, x1, y1 = segment
    return x0 < placed.x1 and placed.x0 < x1 and y0 < placed.bottom and placed.top < y1


def test_boxes_lie_apart_and_on_the_page(places: Layout) -> None:
    for a, b in combinations(places.cells, 2):
        assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.bottom <= b.top or b.bottom <= a.top
    for placed in places.cells:
        assert placed.x0 >= 0
        assert placed.x1 <= places.columns[-1][1] + 1e-6
        ends = [placed.box_ends(k) for k in range(len(placed.cell.boxes))]
        assert all(right - left > 40 for left, right in ends)
        assert all(a[1] < b[0] for a, b in pairwise(ends))


def test_every_box_is_above_what_it_takes(places: Layout) -> None:
    for placed in places.cells:
        assert placed.bottom <= places.bar
        assert all(placed.bottom < places.cells[s].top for s in placed.cell.inputs)


def test_every_input_has_a_line(places: Layout) -> None:
    net_of = nets([placed.cell for placed in places.cells])
    for consumer in places.cells:
        for s in consumer.cell.inputs:
            source = places.cells[s]
            assert any(
                source.x0 <= line[0][0] <= source.x1
                and line[0][1] == source.top
                and consumer.x0 <= line[-1][0] <= consumer.x1
                and line[-1][1] == consumer.bottom
                for line in places.lines[net_of[s]]
            )
    assert sum(map(len, places.lines.values())) == sum(len(p.cell.inputs) for p in places.cells)


def test_no_line_passes_a_box(places: Layout) -> None:
    for lines in places.lines.values():
        for line in lines:
            for piece in segments(line):
                assert not any(inside(piece, placed) for placed in places.cells)


def test_lines_of_two_nets_cross_but_never_lie_on_each_other(places: Layout) -> None:
    pieces = [
        (net, piece) for net, lines in places.lines.items() for line in set(lines) for piece in segments(line)
    ]
    upright: dict[float, list[tuple[float, float, int]]] = {}
    level: dict[float, list[tuple[float, float, int]]] = {}
    for net, (x0, y0, x1, y1) in pieces:
        if x0 == x1:
            upright.setdefault(round(x0, 3), []).append((y0, y1, net))
        else:
            level.setdefault(round(y0, 3), []).append((x0, x1, net))
    for found in (*upright.values(), *level.values()):
        for (a0, a1, a), (b0, b1, b) in combinations(found, 2):
            assert a == b or a1 <= b0 + 1e-6 or b1 <= a0 + 1e-6


@pytest.mark.parametrize(("name", "n"), KNOWN)
def test_it_fits_the_page(name: str, n: int) -> None:
    assert laid_out(name, n).width <= WIDTH + 1


def test_a_long_chain_is_high_and_not_wide() -> None:
    assert laid_out("hard", 1).width < 150
