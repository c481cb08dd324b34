from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from polytask.reporting.figures.letters import fitted, width_of
from polytask.reporting.formats import clean


@given(st.text(), st.floats(0, 400), st.sampled_from([11.0, 12.0, 16.0]))
def test_what_is_left_fits(text: str, room: float, size: float) -> None:
    assert width_of(fitted(text, room, size), size) <= max(room, 0)


@given(st.text())
def test_what_fits_is_left_alone(text: str) -> None:
    assert fitted(text, width_of(clean(text))) == clean(text)


def test_names_keep_both_ends() -> None:
    cut = fitted("measurement at station 17, morning", 90)
    assert cut.startswith("meas")
    assert cut.endswith("ning")
    assert "…" in cut


def test_wide_letters_count_more() -> None:
    assert width_of("WWW") > width_of("xxx") > width_of("iii")
    assert width_of("漢字") > width_of("ab")
    assert width_of("e\u0301") == width_of("e")
