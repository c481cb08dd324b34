from __future__ import annotations

import re

import pytest

from polytask.errors import SettingError
from polytask.reporting.figures.branches import tree

from ..conftest import HOSTILE, LONG

TREE = [[["a", "b", "c", "d"]], [["a", "c"], ["b", "d"]], [["a"], ["c"], ["b", "d"]]]


def boxes(made: str) -> list[tuple[str, float, float, float, str]]:
    """Members, left edge, upper and lower end, and style class of every box."""
    found = re.findall(
        r'<g class="([^"]+)"><title>([^<]+)</title><rect x="([\d.]+)" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"',
        made,
    )
    return [(who, float(x), float(y), float(y) + float(h), class_) for class_, who, x, y, h in found]


def test_a_box_for_each_group_of_each_block() -> None:
    found = boxes(tree(TREE))
    lefts = sorted({left for _, left, *_ in found})
    assert [[who for who, left, *_ in found if left == x] for x in lefts] == [
        ["a, c, b, d"],
        ["a, c", "b, d"],
        ["a", "c", "b, d"],
    ]


def test_a_box_is_as_high_as_its_tasks() -> None:
    made = tree(TREE)
    rows = {
        name: float(y)
        for y, name in re.findall(r'<text[^>]* y="([\d.]+)" class="task"><title>[^<]*</title>([^<]+)<', made)
    }
    for who, _, top, bottom, _ in boxes(made):
        assert [name for name, y in rows.items() if top < y < bottom] == who.split(", ")


def test_colours_say_what_a_task_has_for_itself() -> None:
    classes = {who: class_ for who, *_, class_ in boxes(tree(TREE))}
    assert classes == {"a, c, b, d": "same", "a, c": "same", "b, d": "same", "a": "task0", "c": "task1"}


def test_many_tasks_are_a_line_each() -> None:
    tasks = [f"task {k}" for k in range(65)]
    made = tree([[tasks], [tasks[:30], tasks[30:]], [[t] for t in tasks]])
    assert made.count('class="task"') == 65
    assert float(re.search(r'height="(\d+)"', made).group(1)) < 1200
    assert ">30 tasks</text>" in made


def test_blocks_are_named() -> None:
    assert ">block 3</text>" in tree(TREE)
    assert ">conv</text>" in tree(TREE, ["stem", "conv", "top"])


def test_groups_that_cannot_all_be_whole_are_drawn_in_pieces() -> None:
    found = boxes(tree([[["a", "b"], ["c", "d"]], [["a", "c"], ["b", "d"]]]))
    assert len(found) == 6
    assert [who for who, *_ in found].count("a, c") + [who for who, *_ in found].count("a, b") == 3


def test_names_are_text() -> None:
    made = tree([[[HOSTILE, LONG]], [[HOSTILE], [LONG]]])
    assert "<script" not in made
    assert "…" in made


@pytest.mark.parametrize("nothing", [[], [[]]])
def test_nothing_to_draw(nothing: list) -> None:
    with pytest.raises(SettingError, match="branches"):
        tree(nothing)


@pytest.mark.parametrize("second", [[["a"]], [["a", "b"], ["b"]], [["a"], ["x"]]])
def test_a_block_that_is_no_partition_is_named(second: list) -> None:
    with pytest.raises(SettingError, match="Block 2"):
        tree([[["a", "b"]], second])
