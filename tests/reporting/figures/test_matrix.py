from __future__ import annotations

import re
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import pytest

from polytask.reporting.figures.letters import width_of
from polytask.reporting.figures.matrix import PRINTED, heat_map, limit_of, shown

from ..conftest import HOSTILE, LONG


class Matrix(NamedTuple):
    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: np.ndarray


def make(values: np.ndarray, names: tuple[str, ...] | None = None) -> Matrix:
    n, m = values.shape
    rows = names or tuple(f"task {i}" for i in range(n))
    return Matrix("layer 1", rows, tuple(f"expert {j}" for j in range(m)), values)


def drawn(table: Matrix, limit: float | None = None) -> np.ndarray:
    """The numbers back from the shades."""
    made = heat_map(table, limit)
    out = np.zeros(table.values.shape)
    found = re.findall(r'<path d="([^"]+)" class="cell (\w+)" fill-opacity="([\d.]+)"', made)
    squares = [
        (float(x), float(y), float(w), tone, float(opacity))
        for d, tone, opacity in found
        for x, y, w in re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)", d)
    ]
    frame = re.search(
        r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" class="edge"', made
    )
    left, top, width, height = map(float, frame.groups())
    for x, y, w, tone, opacity in squares:
        assert w == pytest.approx(width / out.shape[1])
        j, i = (x - left) / width * out.shape[1], (y - top) / height * out.shape[0]
        assert (i, j) == pytest.approx((round(i), round(j)), abs=1e-2)
        out[round(i), round(j)] = opacity / 0.92 * (1 if tone == "helped" else -1)
    return out


@pytest.mark.parametrize("shape", [(1, 1), (3, 8), (12, 12), (65, 8), (65, 65), (8, 65)])
def test_shades_show_the_numbers(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    limit = np.abs(values).max()
    assert drawn(make(values)) == pytest.approx(values / limit, abs=0.06)


def test_a_common_limit_makes_maps_comparable() -> None:
    small, large = make(np.array([[0.1, 0.2]])), make(np.array([[0.5, -1.0]]))
    limit = limit_of([small, large])
    assert limit == 1.0
    assert drawn(small, limit) == pytest.approx(np.array([[0.1, 0.2]]), abs=0.01)
    assert drawn(small) == pytest.approx(np.array([[0.5, 1.0]]), abs=0.01)


def test_cells_without_a_number_are_struck_out() -> None:
    values = np.array([[0.25, np.nan, 0.75], [np.nan, np.nan, 1.0]])
    made = heat_map(make(values))
    (strokes,) = re.findall(r'<path d="([^"]+)" class="missing"', made)
    assert strokes.count("M") == 3
    assert made.count('class="value') == 3
    assert "nan" not in made.lower()


def test_numbers_are_printed_while_they_can_be_read() -> None:
    few, many = np.ones((PRINTED, PRINTED)), np.ones((PRINTED, PRINTED + 1))
    assert heat_map(make(few)).count('class="value') == PRINTED**2
    assert heat_map(make(many)).count('class="value') == 0
    assert heat_map(make(many)).count("task 1, expert 1: 1.00") == 1


@pytest.mark.parametrize("scale", [1e-9, 1e-4, 0.03, 1.0, 250.0, 1e7])
def test_printed_numbers_fit_their_cells(scale: float) -> None:
    values = -scale * np.array([[1.0, 0.333], [0.0, 0.0123]])
    made = heat_map(make(values))
    width = float(re.search(r'width="([\d.]+)" height="[\d.]+" class="edge"', made).group(1)) / 2
    for text in re.findall(r'<text class="value[^>]*>([^<]+)</text>', made):
        assert width_of(text) <= width


def test_the_legend_goes_below_zero_only_where_numbers_do() -> None:
    assert "−1.00</text>" in heat_map(make(np.array([[1.0, -0.5]])))
    assert "−" not in heat_map(make(np.array([[1.0, 0.5]])))


def test_small_and_large_numbers_as_powers_of_ten() -> None:
    assert shown(-0.123, 1.0) == "−0.12"
    assert shown(1.5e-5, 1e-4) == "1.5e−05"
    assert shown(0.0, 1e-4) == "0.00"


def test_names_are_text_and_long_ones_are_cut() -> None:
    table = make(np.ones((2, 2)), (HOSTILE, LONG))
    made = heat_map(table)
    assert "<script" not in made
    titles = {t.text for t in ElementTree.fromstring(made).iter("title")}
    assert {HOSTILE, LONG} <= titles
    (shown_name,) = [t for t in re.findall(r"</title>([^<]+)</text>", made) if t.startswith("average")]
    assert len(shown_name) < len(LONG) / 2


def test_names_only_where_rows_are_high_enough() -> None:
    assert ">task 64</text>" in heat_map(make(np.eye(65)))
    assert "task 64</text>" not in heat_map(make(np.eye(300)))


def test_words_say_where_each_row_is_largest() -> None:
    made = heat_map(make(np.array([[0.1, 0.9], [np.nan, np.nan]])))
    assert "task 0: expert 1 0.900." in made
    assert "task 1: " not in made


def test_nothing_known_at_all() -> None:
    made = heat_map(make(np.full((2, 2), np.nan)))
    assert 'class="cell helped" d=' not in made
    assert made.count('class="value') == 0
    assert drawn(make(np.zeros((2, 2)))).any() == np.False_


def test_maps_stay_small() -> None:
    assert len(heat_map(make(np.random.default_rng(0).normal(size=(300, 300))))) < 3_000_000
