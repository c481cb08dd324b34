from __future__ import annotations

import re

import numpy as np
import pytest

from polytask.reporting.figures.similarity import (
    CELLS,
    NAMES,
    _blocks,
    as_matrix,
    clustered_order,
    similarity,
)


def test_clusters_lie_together():
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(4), 6))
    matrix = np.where(groups[:, None] == groups[None, :], 0.8, -0.1) + rng.normal(0, 0.02, (24, 24))
    order = clustered_order(as_matrix(matrix.tolist()))
    assert sorted(order) == list(range(24))
    assert (np.diff(groups[order]) != 0).sum() == 3


def test_missing_entries_count_as_unrelated():
    found = as_matrix([[1.0, None], [float("nan"), 1.0]])
    assert found.tolist() == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("q", [1, 2])
def test_tiny_matrices(q):
    assert clustered_order(np.eye(q)).tolist() == list(range(q))


def test_cells_show_the_ordered_matrix():
    matrix = np.array([[1.0, -0.5, 0.3], [-0.5, 1.0, 0.0], [0.3, 0.0, 1.0]])
    order = np.array([2, 0, 1])
    made = similarity(["a", "b", "c"], matrix, order)
    shown = np.zeros((3, 3))
    for d, tone, opacity in re.findall(r'<path d="([^"]+)" class="cell (\w+)" fill-opacity="([\d.]+)"', made):
        for x, y in re.findall(r"M(\d+) (\d+)", d):
            shown[int(y), int(x)] = float(opacity) / 0.9 * (1 if tone == "helped" else -1)
    assert shown == pytest.approx(matrix[np.ix_(order, order)], abs=0.01)
    assert re.findall(r'class="name">(\w)<', made) == ["c", "a", "b"]
    assert made.count("−0.50") == 2


def test_names_only_while_they_can_be_read():
    few, many = ([f"task {k}" for k in range(q)] for q in (NAMES, NAMES + 1))
    assert "task 3" in similarity(few, np.eye(NAMES), np.arange(NAMES))
    assert "task 3" not in similarity(many, np.eye(NAMES + 1), np.arange(NAMES + 1))


def test_blocks_are_means():
    matrix = np.random.default_rng(1).normal(size=(2 * CELLS, 2 * CELLS))
    literal = matrix.reshape(CELLS, 2, CELLS, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(_blocks(matrix, CELLS), literal)
    assert _blocks(np.ones((CELLS + 7, CELLS + 7)), CELLS) == pytest.approx(np.ones((CELLS, CELLS)))
