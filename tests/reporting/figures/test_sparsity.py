from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from polytask.reporting.figures.sparsity import NAMES, sparsity


def drawn(markup, shape):
    """The class of every cell, from the rectangles of the picture; fails if two overlap."""
    cells = np.full(shape, "", dtype=object)
    for d, class_ in re.findall(r'<path d="([^"]+)" class="(\w+)"', markup):
        for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", d):
            part = cells[int(y), int(x) : int(x) + int(width)]
            assert (part == "").all()
            part[:] = class_
    return cells


@given(st.integers(0, 10_000))
def test_every_cell_is_drawn_once_and_yellow_just_where_it_is_zero(seed):
    rng = np.random.default_rng(seed)
    q, p = rng.integers(1, 7, 2)
    coef = rng.normal(size=(q, p)) * (rng.random((q, p)) < rng.random())
    cells = drawn(sparsity("lasso", "title", [f"t{k}" for k in range(q)], coef), (q, p))
    assert ((cells == "zerocell") == (coef == 0)).all()
    assert (cells != "").all()
    if coef.any():
        assert cells.ravel()[np.abs(coef).argmax()] == "strong"


def test_names_only_while_they_can_be_read():
    assert "task 1" in sparsity("h", "t", [f"task {k}" for k in range(NAMES)], np.eye(NAMES))
    assert "task 1" not in sparsity("h", "t", [f"task {k}" for k in range(NAMES + 1)], np.eye(NAMES + 1))
