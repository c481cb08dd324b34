from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from polytask.errors import SettingError
from polytask.reporting.figures.architecture import drawing
from polytask.reporting.figures.architecture.boxes import Box
from polytask.reporting.figures.architecture.geometry import LABEL_PAD
from polytask.reporting.figures.architecture.picture import _label
from polytask.reporting.figures.letters import width_of

from ...conftest import LONG
from ...descriptions import CASES, SIZES, branched, conditioned, describe, hard, heads, mmoe, part, single

SVG = "{http://www.w3.org/2000/svg}"


def parsed(description: dict) -> ElementTree.Element:
    return ElementTree.fromstring(drawing(description, style=""))


def box_groups(root: ElementTree.Element) -> list[ElementTree.Element]:
    """The group of each box: its title, outlines and texts."""
    return [
        g
        for g in root.iter(f"{SVG}g")
        if g.find(f"{SVG}path[@class='back']") is not None and g[0].tag == f"{SVG}title"
    ]


def texts(group: ElementTree.Element) -> list[str]:
    return ["".join(t.itertext()) for t in group.findall(f"{SVG}text")]


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("n", SIZES)
def test_it_is_xml_with_words_for_those_who_cannot_see_it(name: str, n: int) -> None:
    root = parsed(CASES[name](n))
    assert [child.tag for child in root[:2]] == [f"{SVG}title", f"{SVG}desc"]
    assert f"for {n} task" in root[0].text
    assert root[1].text.startswith("From the input upwards: ")
    assert all(g[0].text for g in box_groups(root))


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("n", SIZES)
def test_labels_fit_their_boxes(name: str, n: int) -> None:
    for group in box_groups(parsed(CASES[name](n))):
        d = group.find(f"{SVG}path[@class='back']").get("d")
        xs = [float(x) for x in re.findall(r"(?:[ML]|H)(-?[\d.]+)", d)]
        room = max(xs) - min(xs) + 2 * 19  # the path starts after the rounded corner
        label, size = texts(group)
        assert label
        assert width_of(label) <= room - 2 * LABEL_PAD
        assert width_of(size, 11) <= room - 2 * LABEL_PAD


@pytest.mark.parametrize("name", list(CASES))
def test_twice_the_same_is_the_same(name: str) -> None:
    assert drawing(CASES[name](10)) == drawing(CASES[name](10))


@pytest.mark.parametrize("n", SIZES)
def test_it_stays_small(n: int) -> None:
    assert all(len(drawing(make(n))) < 60_000 for make in CASES.values())


def test_colours_say_who_uses_a_box() -> None:
    groups = box_groups(parsed(branched(4)))
    classes = {texts(g)[0]: g.get("class") for g in groups}
    assert classes["block 1, branch 1"] == "same"
    assert [g.get("class") for g in groups if texts(g)[0] == "head"] == ["task0", "task1", "task2", "task3"]
    pieces = [
        [r.get("class") for r in g.findall(f"{SVG}rect")] for g in groups if texts(g)[0].startswith("block 2")
    ]
    assert pieces == [["segment task0", "segment task1"], ["segment task2", "segment task3"]]
    assert not [g for g in groups if texts(g)[0].startswith("block 1") and g.findall(f"{SVG}rect")]


def test_a_long_name_is_cut_and_said_in_full() -> None:
    made = drawing(hard(10))
    headers = re.findall(r"<title>([^<]*)</title>([^<]*)</text>", made)
    shown = dict(headers)[LONG]
    assert "…" in shown
    assert len(shown) < len(LONG) / 2


def test_kinds_look_different() -> None:
    tasks = ["a", "b"]
    kinds = ("layer", "expert", "gate", "stitch", "attention", "condition", "head", "something else")
    parts = [part(f"p{k}", kind, tasks, 1) for k, kind in enumerate(kinds)]
    made = drawing(describe("x", tasks, parts))
    legend = re.findall(r'<path d="([^"]+)" class="(box[^"]*)"/></g><text[^>]*>([^<]+)</text>', made)
    looks = {words: (d, class_) for d, class_, words in legend if words in kinds}
    assert set(looks) == set(kinds)
    assert looks["something else"] == looks["layer"]
    assert len(set(looks.values())) == len(kinds) - 1


def test_the_legend_names_only_what_is_there() -> None:
    assert "used by all tasks" not in drawing(single(3))
    assert "used by all tasks" in drawing(hard(3))
    assert "by the tasks of these colours" not in drawing(hard(3))
    assert "by the tasks of these colours" in drawing(branched(4))
    assert "several equal ones" not in drawing(hard(10))
    assert "several equal ones" in drawing(hard(65))


def test_folded_tasks_are_counted_and_named() -> None:
    made = drawing(hard(65))
    assert ">58 more</text>" in made
    assert ">58 × head</text>" in made
    assert "school 65" in made


def test_only_what_takes_x_is_joined_to_the_input() -> None:
    made = parsed(conditioned(3))
    said = [g[0].text for g in box_groups(made)]
    assert sum("the input" in text for text in said) == 1
    assert sum("Takes: nothing" in text for text in said) == 6


def test_a_box_says_what_it_takes_in_full() -> None:
    said = [g[0].text for g in box_groups(parsed(mmoe(2, 10)))]
    assert any("expert 8 and 3 more" in text for text in said)


@pytest.mark.parametrize("nothing", [{}, {"heads": {"a": 1}, "parts": []}, {"heads": {}, "parts": [{}]}])
def test_nothing_to_draw_says_what_to_pass(nothing: dict) -> None:
    with pytest.raises(SettingError, match="describe"):
        drawing(nothing)


def test_one_task_alone() -> None:
    made = drawing(describe("x", ["a"], heads(["a"], lambda t: [])))
    assert "for 1 task<" in made
    assert "by the task<" in made


def test_no_word_of_a_tasks_name_is_dropped() -> None:
    """In little room: without its level, or the kind alone."""
    for name, expected in (("click 1", "click 1"), ("watch time 1", "expert")):
        box = Box(({"parameters": 9},), f"level 1 {name}", "expert", 1, ("click", "watch time"), 0, 0)
        assert _label(box, width_of("watch time") - 1) == expected
        assert _label(box, 500.0) == f"level 1 {name}"
