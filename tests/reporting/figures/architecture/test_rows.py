from __future__ import annotations

from typing import Any

from polytask.reporting.figures.architecture.boxes import boxes, complete
from polytask.reporting.figures.architecture.columns import columns
from polytask.reporting.figures.architecture.rows import Group, at_most, cells, rows

from ...descriptions import hierarchical, mmoe, ple


def stacked(description: dict[str, Any], apart: bool = False) -> list[list[Group]]:
    full = complete(description)
    return rows(boxes(full, columns(full, 12), apart))


def labels(found: list[list[Group]]) -> list[list[list[str]]]:
    return [[[box.label for box in group] for group in row] for row in found]


def test_kinds_of_one_layer_that_would_cover_each_other_get_rows_of_their_own() -> None:
    experts = [[f"expert {k}" for k in range(1, 9)]]
    assert labels(stacked(mmoe(2))) == [experts, [["gate"], ["gate"]], [["head"], ["head"]]]


def test_a_head_below_the_top_lies_beside_the_next_layer() -> None:
    assert labels(stacked(hierarchical(3))) == [
        [["layer 1"]],
        [["head"], ["layer 2"]],
        [["head"], ["layer 3"]],
        [["head"]],
    ]


def test_common_parts_have_a_column_of_their_own_when_asked_for() -> None:
    found = stacked(ple(2, 1, 1, 1), apart=True)
    assert labels(found)[0] == [["level 1 expert 0"]] * 3
    assert [group[0].first for group in found[0]] == [0, 1, 2]


def test_boxes_that_take_and_feed_the_same_are_one_cell() -> None:
    found = cells(stacked(mmoe(2)))
    assert [len(cell.boxes) for cell in found] == [8, 1, 1, 1, 1]
    assert found[-1].inputs == (0, 2)
    assert [cell.takes_input for cell in found] == [True, True, True, False, False]


def test_too_many_boxes_are_folded_at_the_end() -> None:
    group = stacked(mmoe(2))[0][0]
    assert at_most(group, 8) == group
    folded = at_most(group, 3)
    assert [box.label for box in folded] == ["expert 1", "expert 2", "6 × expert"]
    assert sum(box.parameters for box in folded) == sum(box.parameters for box in group)
