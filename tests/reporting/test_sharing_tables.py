from __future__ import annotations

import pytest

from polytask.reporting.sharing_tables import (
    architectures_table,
    architectures_text,
    own_per_task,
    part_groups,
    parts_table,
    parts_text,
    shared_share,
)

from .descriptions import CASES, SIZES, branched, describe, hard, heads, mmoe, part, single
from .test_html import Document


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("n", SIZES)
def test_groups_hold_every_parameter_once(name: str, n: int) -> None:
    description = CASES[name](n)
    groups = part_groups(description)
    assert sum(g.in_all for g in groups) == description["parameters"]
    assert sum(g.how_many for g in groups) == len(description["parts"])
    assert sum(g.share for g in groups) == pytest.approx(1)


def test_what_each_task_has_the_same_of_is_one_line() -> None:
    assert [(g.name, g.how_many, g.used_by) for g in part_groups(mmoe(10, 2))] == [
        ("expert 1", 1, "all tasks"),
        ("expert 2", 1, "all tasks"),
        ("gate", 10, "10 tasks, one each"),
        ("head", 10, "10 tasks, one each"),
    ]


def test_heads_of_different_sizes_stay_apart() -> None:
    parts = heads(["a", "b", "c"], lambda t: [])
    parts[1]["parameters"] = 9
    assert [(g.how_many, g.each) for g in part_groups(describe("x", ["a", "b", "c"], parts))] == [
        (2, 65),
        (1, 9),
    ]


def test_own_parameters_of_a_task() -> None:
    assert own_per_task(hard(3)) == "65"
    assert own_per_task(branched(3)) == "3,065 to 6,065"
    assert own_per_task(describe("x", ["a", "b"], [part("head", "head", ["a", "b"], 7)])) == "0"


def test_share_of_what_is_shared() -> None:
    assert shared_share(hard(1)) == 0  # one task shares with nobody
    assert shared_share(hard(3)) == pytest.approx(10624 / (10624 + 3 * 65))
    assert shared_share(single(3)) == 0
    assert shared_share(describe("x", ["a"], [part("head", "head", ["a"], 0)])) is None


def test_text_is_aligned() -> None:
    lines = parts_text(mmoe(3, 2)).splitlines()
    assert lines[0].split() == [
        "Part",
        "Kind",
        "How",
        "many",
        "Used",
        "by",
        "Parameters",
        "each",
        "In",
        "all",
        "Share",
    ]
    assert lines[3] == "gate      gate           3  3 tasks, one each              808   2,424   10 %"
    assert len({len(line) for line in lines}) == 1


def test_a_trace_is_not_nothing() -> None:
    assert "<1 %" in parts_text(hard(2) | {"parameters": 10_000_000})
    assert "0 %" in architectures_text([single(2)])


def test_operations_have_a_column_where_they_are_known() -> None:
    without = architectures_text([hard(3), single(3)])
    assert "FLOPs" not in without
    with_one = architectures_text([hard(3), single(3)], {"hard": 21376}).splitlines()
    assert with_one[0].endswith("FLOPs per row")
    assert with_one[1].endswith("21,376")
    assert with_one[2].endswith("–")


def test_tables_for_pages_say_the_same() -> None:
    page = Document(architectures_table([hard(3), single(3)], {"hard": 21376}))
    assert page.text["td"].startswith("310,81910,62498\u00a0%6521,376")
    rows = Document(parts_table(hard(65)))
    assert len(rows.all("tr")) == 1 + 3
    assert "65 tasks, one each" in rows.text["td"]
