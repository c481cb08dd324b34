from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from polytask.reporting.scales import Scale, covering, robust

finite = st.floats(-1e6, 1e6, allow_nan=False)


@example(1.0, 400001.0, 2)  # steps of 500,000 would miss it
@given(finite, st.floats(1e-3, 1e6), st.integers(2, 8))
def test_ticks_are_round_even_and_inside(low, width, about):
    scale = Scale(low, low + width)
    ticks = scale.ticks(about)
    assert all(scale.low - 1e-9 * width <= t <= scale.high + 1e-9 * width for t in ticks)
    assert 1 <= len(ticks) <= about + 1
    steps = np.diff(ticks)
    if len(steps):
        assert steps == pytest.approx(np.full(len(steps), steps[0]), rel=1e-6)
        mantissa = steps[0] / 10.0 ** np.floor(np.log10(steps[0]) + 1e-6)
        assert min(abs(mantissa - m) for m in (1, 2, 5)) < 1e-5


def test_places():
    scale = Scale(-10, 30)
    assert scale.place(0) == 0.25
    assert scale.percent(10) == "50.00%"
    assert (scale.place(-99), scale.place(99)) == (0.0, 1.0)


@given(st.lists(finite, max_size=20))
def test_covering_holds_all_values(values):
    scale = covering(values)
    assert scale.low < scale.high
    assert all(scale.low <= v <= scale.high for v in values)


def test_one_wide_interval_does_not_squeeze_the_others():
    points, ends = [1.0, 2.0, -1.0, 5.0], [0.5, 1.5, 1.0, 3.0, -2.0, 0.0, -400.0, 410.0]
    scale = robust(points, ends)
    assert all(scale.low < p < scale.high for p in [0.0, *points])
    assert scale.high < 20
    assert scale.low > -20


def test_robust_without_intervals():
    scale = robust([3.0], [])
    assert scale.low < 0 < 3 < scale.high
