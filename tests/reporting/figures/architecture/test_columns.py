from __future__ import annotations

import pytest

from polytask.reporting.figures.architecture.columns import columns, home, ordered_tasks

from ...descriptions import CASES, branched, hard, part, task_names


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("n", [1, 3, 10, 65])
@pytest.mark.parametrize("most", [4, 8, 12])
def test_every_task_has_one_column(name: str, n: int, most: int) -> None:
    description = CASES[name](n)
    found = columns(description, most)
    assert sorted(t for c in found for t in c.tasks) == sorted(description["heads"])
    assert len(found) <= most
    assert any(c.is_folded for c in found) == (n > most)


def test_tasks_of_a_branch_are_neighbours() -> None:
    description = branched(10)
    order = ordered_tasks(description)
    for p in description["parts"]:
        places = sorted(order.index(t) for t in p["tasks"])
        assert places == list(range(places[0], places[-1] + 1))


def test_tasks_are_folded_with_those_of_their_branch() -> None:
    description = branched(65)
    leaves = [set(p["tasks"]) for p in description["parts"] if p["name"].startswith("block 3")]
    found = columns(description, 8)
    assert all(any(set(c.tasks) <= leaf for leaf in leaves) for c in found)
    assert all(any(not c.is_folded and c.tasks[0] in leaf for c in found) for leaf in leaves)


def test_where_there_are_more_branches_than_columns_the_rest_is_one() -> None:
    found = columns(branched(65), 3)
    assert [len(c.tasks) for c in found] == [1, 1, 63]


def test_the_first_tasks_of_many_are_shown() -> None:
    found = columns(hard(65), 8)
    assert [c.tasks[0] for c in found[:7]] == task_names(65)[:7]
    assert len(found[7].tasks) == 58


def test_a_part_is_at_home_with_its_only_task_or_its_namesake() -> None:
    tasks = ["a", "mean of a", "b"]
    assert home(part("gate", "gate", ["b"], 1), tasks) == "b"
    assert home(part("layer 1 of mean of a", "layer", tasks, 1), tasks) == "mean of a"
    assert home(part("layer 1", "layer", tasks, 1), tasks) is None
