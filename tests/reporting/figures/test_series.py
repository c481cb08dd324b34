from __future__ import annotations

import re

import numpy as np
import pytest

from polytask.reporting.figures.series import LINES, Decades, series, smoothed


def polylines(markup: str) -> list[list[tuple[float, float]]]:
    """Corners of each line, in per cent from the left and the top."""
    return [
        [tuple(map(float, corner.split(","))) for corner in points.split()]
        for points in re.findall(r'<polyline points="([^"]+)"', markup)
    ]


def test_a_line_a_name_with_a_legend_and_gaps_where_nothing_is_known() -> None:
    made = series("t", [0, 10, 20], ["a", "b"], np.array([[1.0, 2.0], [np.nan, 3.0], [3.0, 4.0]]))
    a, b = polylines(made)
    assert [x for x, _ in a] == [0, 100]
    assert [x for x, _ in b] == [0, 50, 100]
    assert b[0][1] - b[1][1] == pytest.approx(b[1][1] - b[2][1], abs=0.02)
    assert made.count('class="swatch tint') == 2


def test_values_far_apart_and_positive_get_an_axis_of_decades() -> None:
    (line,) = polylines(series("t", [0, 1, 2], ["a"], np.array([[1.0], [10.0], [100.0]])))
    heights = [y for _, y in line]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.02)
    for values in ([1.0, 5.0, 9.0], [-1.0, 10.0, 100.0], [0.0, 10.0, 100.0]):
        (line,) = polylines(series("t", [0, 1, 2], ["a"], np.array(values)[:, None]))
        place = (line[0][1] - line[1][1]) / (line[0][1] - line[2][1])
        assert place == pytest.approx((values[1] - values[0]) / (values[2] - values[0]), abs=0.01)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.1, 1.1, [1, 2, 5, 10]),
        (-0.1, 2.1, [1, 3, 10, 30, 100]),
        (-0.1, 2.6, [1, 3, 10, 30, 100, 300]),
        (-2.2, 2.1, [0.01, 0.1, 1, 10, 100]),
        (-9.5, 9.5, [1e-9, 1e-5, 1e-1, 1e3, 1e7]),
    ],
)
def test_ticks_of_decades_are_round_and_few(low: float, high: float, expected: list[float]) -> None:
    assert [10**v for v in Decades(low, high).ticks(4)] == pytest.approx(expected)


def test_many_series_become_their_range_middle_half_and_median() -> None:
    values = np.tile(np.arange(1.0, LINES + 2), (3, 1))
    made = series("t", [0, 1, 2], [str(k) for k in range(LINES + 1)], values)
    ((*_, (_, middle)),) = polylines(made)
    outer, inner = re.findall(r'<polygon points="([^"]+)"', made)
    tops = [sorted({float(c.split(",")[1]) for c in points.split()}) for points in (outer, inner)]
    assert tops[0][0] < tops[1][0] < middle < tops[1][-1] < tops[0][-1]
    assert "swatch" not in made


def test_long_runs_are_means_over_neighbours_that_keep_their_ends() -> None:
    steps, values = np.arange(1000.0), np.random.default_rng(0).normal(size=(1000, 2))
    values[:600, 1] = np.nan
    at, means = smoothed(steps, values, 10)
    assert (at[0], at[-1]) == (0, 999)
    np.testing.assert_allclose(means[:, 0], values[:, 0].reshape(10, 100).mean(axis=1))
    assert np.isnan(means[:6, 1]).all()
    assert np.isfinite(means[6:, 1]).all()
    assert np.array_equal(smoothed(steps[:10], values[:10, :1], 10)[1], values[:10, :1])


def test_one_record_can_be_drawn() -> None:
    assert series("t", [0], ["a"], np.array([[2.0]]))
