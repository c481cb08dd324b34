from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polytask.reporting import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.4567, "0.457"),
        (-12.34, "−12.3"),
        (123.4, "123"),
        (12345.6, "12,346"),
        (0, "0"),
        (0.00012345, "0.000123"),
        (1e-7, "1.00e−07"),
        (3.2e9, "3.20e+09"),
        (999.7, "1,000"),
        (9.999, "10.00"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
        (np.float32(0.5), "0.500"),
    ],
)
def test_number(value, text):
    assert formats.number(value) == text


@given(st.floats(1e-4, 999, allow_nan=False))
def test_number_keeps_three_significant_digits(value):
    assert float(formats.number(value)) == pytest.approx(value, rel=5.1e-3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4.24, "+4.2 %"),
        (-0.06, "−0.06 %"),
        (0.0, "0 %"),
        (-0.0, "0 %"),
        (-0.001, "0 %"),
        (123.4, "+123 %"),
        (-1234.5, "−1,234 %"),
        (99.96, "+100 %"),
        (None, "–"),
        (math.inf, "–"),
    ],
)
def test_percent(value, text):
    assert formats.percent(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.001, "<0.01 s"),
        (0.424, "0.42 s"),
        (0.996, "1.0 s"),
        (2.6, "2.6 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.7, "1 min 0 s"),
        (93.1, "1 min 33 s"),
        (3599.6, "1 h 0 min"),
        (4333, "1 h 12 min"),
        (None, "–"),
    ],
)
def test_duration(seconds, text):
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0004, "<0.001"), (0.012, "0.012"), (0.0999, "0.10"), (0.5, "0.50"), (1.0, "1.00"), (None, "–")],
)
def test_p_value(p, text):
    assert formats.p_value(p) == text


def test_ticks_have_no_trailing_zeros():
    assert [formats.percent_tick(v) for v in (-10.0, 0.0, 2.5)] == ["−10 %", "0 %", "+2.5 %"]
    assert [formats.tick(v) for v in (1000.0, 0.5)] == ["1,000", "0.5"]


def test_interval_with_an_unknown_end():
    assert formats.interval(-1.25, None) == "−1.2 to –"
    assert formats.interval(None, math.nan) == "–"


@given(st.text(), st.integers(3, 60))
def test_shorten_keeps_both_ends_and_the_width(text, width):
    short = formats.shorten(text, width)
    assert len(short) <= width
    if len(text) <= width:
        assert short == formats.clean(text)
    else:
        assert short[0] == formats.clean(text)[0]
        assert short[-1] == formats.clean(text)[-1]


def test_clean_leaves_nothing_that_a_terminal_obeys():
    assert formats.clean("a\x1b[31m\nb\ud800é") == "a�[31m�b�é"
