from __future__ import annotations

import pytest

from polytask.reporting.figures.architecture.boxes import boxes, complete
from polytask.reporting.figures.architecture.columns import columns
from polytask.reporting.figures.architecture.routes import (
    MARGIN,
    Lane,
    lanes,
    needs_a_side,
    nets,
    passed,
    without_overlap,
)
from polytask.reporting.figures.architecture.rows import Cell, cells, rows

from ...descriptions import CASES, conditioned, mmoe, sluice


def found(description: dict, apart: bool = False) -> list[Cell]:
    full = complete(description)
    return cells(rows(boxes(full, columns(full, 12), apart)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hard", False),
        ("single", False),
        ("mmoe", False),
        ("cross-stitch", False),
        ("sluice", False),
        ("branched", False),
        ("hierarchical", False),
        ("cgc", True),
        ("ple", True),
        ("attention", True),
        ("conditioned", True),
    ],
)
def test_which_architectures_have_a_column_for_what_is_common(name: str, expected: bool) -> None:
    full = complete(CASES[name](3))
    assert needs_a_side(rows(boxes(full, columns(full, 12), False))) is expected


def test_experts_reach_the_heads_beside_the_gates() -> None:
    mine = found(mmoe(2))
    assert lanes(mine) == {(0, 3): Lane(0, 0), (0, 4): Lane(1, 0)}
    assert passed(lanes(mine), mine) == {(1, 0): 1, (1, 1): 1}


def test_what_wide_boxes_hide_goes_round_by_the_margin() -> None:
    mine = found(sluice(2))
    stitch = next(k for k, cell in enumerate(mine) if cell.boxes[0].label == "stitch 1")
    assert {lane for (s, _), lane in lanes(mine).items() if s == stitch} == {Lane(MARGIN, 0)}


def test_sources_of_one_row_with_the_same_consumers_are_one_net() -> None:
    mine = found(conditioned(3), apart=True)
    conditions = [k for k, cell in enumerate(mine) if cell.boxes[0].label == "condition 1"]
    assert len(conditions) == 3
    assert {nets(mine)[k] for k in conditions} == {conditions[0]}


def test_spans_that_overlap_get_different_numbers() -> None:
    spans = {1: (0.0, 4.0), 2: (1.0, 2.0), 3: (4.0, 6.0), 4: (1.5, 5.0)}
    given = without_overlap(spans)
    assert len({given[1], given[2], given[4]}) == 3
    assert given[3] == 0
