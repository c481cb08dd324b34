from __future__ import annotations

import pytest

from polytask.reporting.figures.architecture.boxes import boxes, complete, links
from polytask.reporting.figures.architecture.columns import columns

from ...descriptions import CASES, conditioned, cross_stitch, describe, heads, mmoe, part, single


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("n", [1, 3, 65])
@pytest.mark.parametrize("apart", [False, True])
def test_boxes_hold_every_parameter_once(name: str, n: int, apart: bool) -> None:
    description = CASES[name](n)
    found = boxes(complete(description), columns(description, 8), apart)
    assert sum(box.parameters for box in found) == description["parameters"]


def test_members_become_parts_and_take_those_of_their_own_task() -> None:
    description = cross_stitch(3)
    description["parts"][1]["members"] = [f"stitch 1 of {t}" for t in description["heads"]]
    description["parts"][1]["parameters"] = 9
    parts = {p["name"]: p for p in complete(description)["parts"]}
    assert parts["layer 1 of income"]["parameters"] == 6464
    assert parts["stitch 1 of income"]["inputs"] == ["layer 1 of income"]
    assert parts["stitch 1 of income"]["parameters"] == 3
    assert parts["layer 2 of income"]["inputs"] == ["stitch 1 of income"]
    assert len(parts["stitch 2"]["inputs"]) == 3


def test_who_takes_the_input() -> None:
    takes = {p["name"]: p["takes_input"] for p in complete(conditioned(2))["parts"]}
    assert takes["layer 1"]
    assert sum(takes.values()) == 1
    takes = {p["name"]: p["takes_input"] for p in complete(mmoe(2, 2))["parts"]}
    assert {name for name, yes in takes.items() if yes} == {
        *("expert 1", "expert 2", "gate of income"),
        *(name for name in takes if name.startswith("gate")),
    }


def test_what_describes_a_task_is_just_below_what_takes_it() -> None:
    layer = {p["name"]: p["layer"] for p in complete(conditioned(2))["parts"]}
    assert layer["condition 1 of income"] == layer["layer 1"] - 1
    assert layer["condition 2 of income"] == layer["layer 2"] - 1


def test_folded_tasks_have_one_box_for_each_of_their_parts() -> None:
    description = complete(single(65))
    found = boxes(description, columns(description, 8), False)
    folded = [box for box in found if len(box.parts) > 1]
    assert [box.label for box in folded] == ["58 × layer 1", "58 × layer 2", "58 × head"]
    assert [box.parameters for box in folded] == [58 * 6464, 58 * 4160, 58 * 65]
    a, b, c = (found.index(box) for box in folded)
    assert [pair for pair in links(found) if set(pair) & {a, b, c}] == [(a, b), (b, c)]


def test_unequal_parts_of_folded_tasks_are_named_by_their_kind() -> None:
    tasks = [f"t{k}" for k in range(20)]
    parts = [part(f"{'big' if k % 2 else 'small'} gate of {t}", "gate", [t], k) for k, t in enumerate(tasks)]
    description = complete(describe("x", tasks, parts + heads(tasks, lambda t: [])))
    labels = [box.label for box in boxes(description, columns(description, 4), False)]
    assert "17 × gate" in labels


def test_a_part_that_no_task_uses_is_drawn_too() -> None:
    description = complete(
        describe("x", ["a", "b"], [part("spare", "layer", [], 5), *heads(["a", "b"], lambda t: [])])
    )
    found = boxes(description, columns(description, 8), False)
    assert (found[0].first, found[0].last) == (0, 1)
