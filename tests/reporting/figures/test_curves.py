from __future__ import annotations

import re

import pytest

from polytask.reporting.figures.curves import SEPARATE, curves, has_losses


def history(losses):
    """A record per epoch from {task: list of validation losses}."""
    length = max(map(len, losses.values()))
    return [
        {"epoch": e, "train": {}, "validation": {t: v[e] for t, v in losses.items() if e < len(v)}}
        for e in range(length)
    ]


def polylines(markup):
    return [
        [tuple(map(float, c.split(","))) for c in p.split()]
        for p in re.findall(r'<polyline points="([^"]+)"', markup)
    ]


def test_one_plot_a_task_whose_lines_end_where_training_ended():
    (a,), (b,) = (
        polylines(part) for part in curves("net", history({"a": [4, 2, 1], "b": [3, 1]})).split("<h3")[1:]
    )
    assert [x for x, _ in a] == [0, 50, 100]
    assert [x for x, _ in b] == [0, 50]
    heights = [y for _, y in a]
    assert (heights[1] - heights[0]) / (heights[2] - heights[1]) == pytest.approx(2, abs=0.01)


def test_missing_and_infinite_losses_are_left_out():
    (line,) = polylines(curves("net", history({"a": [None, 2.0, float("inf"), 1.0]})))
    assert len(line) == 2


def test_long_histories_are_thinned_to_what_can_be_seen_and_keep_their_ends():
    (line,) = polylines(curves("net", history({"a": [1 / (1 + e) for e in range(5000)]})))
    assert len(line) <= 152
    assert (line[0][0], line[-1][0]) == (0, 100)


def test_many_tasks_become_one_picture_of_relative_losses():
    losses = {f"t{k}": [k + 1, (k + 1) / 2] for k in range(SEPARATE + 1)}
    made = curves("net", history(losses))
    (line,) = polylines(made)
    (band,) = re.findall(r'<polygon points="([^"]+)"', made)
    lows, highs = band.split()[:2], band.split()[:1:-1]
    assert lows == highs  # every task halves its loss
    assert "−40\u00a0%" in made
    assert line[0][1] < line[1][1]


@pytest.mark.parametrize(
    "empty", [[], [{"epoch": 0}], [{"epoch": 0, "train": None, "validation": {"a": None}}]]
)
def test_nothing_to_draw(empty):
    assert not has_losses(empty)
