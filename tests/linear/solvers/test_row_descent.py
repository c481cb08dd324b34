from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem

from polytask.linear import Moments
from polytask.linear.losses.gram import GramLoss
from polytask.linear.solvers.row_descent import RowDescent
from polytask.linear.solvers.sparse_group import sparse_group_path

ENTRIES = np.array([0.0, 3.0, 0.0, 8.0, 2.0, 0.0, 1.0, 30.0])
ROWS = np.array([0.0, 0.0, 9.0, 4.0, 2.0, 60.0, 1.0, 30.0])


def _twin(moments, entries, rows, positive, n_steps=5000):
    """Plain proximal gradient steps on the Grams."""
    coef = np.zeros_like(moments.xty)
    grams = moments.gram[moments.pattern]
    step = 1 / max(np.linalg.eigvalsh(gram)[-1] for gram in grams)
    for _ in range(n_steps):
        moved = coef + step * (moments.xty - np.einsum("tij,tj->ti", grams, coef))
        moved = np.maximum(moved, 0.0) if positive else moved
        moved = np.sign(moved) * np.maximum(np.abs(moved) - step * entries, 0.0)
        norms = np.linalg.norm(moved, axis=0)
        coef = moved * np.maximum(1 - step * rows / np.where(norms > 0, norms, 1.0), 0.0)
    return coef


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("positive", [False, True])
def test_equals_plain_proximal_gradient_steps(missing, positive):
    moments = Moments.from_arrays(*wide_problem(missing=missing))
    start = np.abs(np.random.default_rng(0).normal(size=(3, 8)))
    slope = GramLoss(moments).at(start).slope
    coef, n_sweeps = RowDescent(moments, positive).run(start, slope, ENTRIES, ROWS, 1e-10, 10_000)
    np.testing.assert_allclose(coef, _twin(moments, ENTRIES, ROWS, positive), atol=1e-9)
    assert 0 < n_sweeps < 10_000
    assert not coef[:, 7].any()
    assert coef[:, 0].any()
    again = RowDescent(moments, positive).run(coef, GramLoss(moments).at(coef).slope, ENTRIES, ROWS, 1e-8, 10)
    assert again[1] == 1


def test_a_task_without_labels_and_a_constant_feature_keep_zeros():
    X, Y = wide_problem(missing=0.2)
    X[:, 2] = 4.0
    Y[:, 1] = np.nan
    moments = Moments.from_arrays(X, Y)
    coef, _ = RowDescent(moments, False).run(np.zeros((3, 8)), moments.xty, ENTRIES, ROWS, 1e-10, 10_000)
    assert np.isfinite(coef).all()
    assert not coef[1].any()
    assert not coef[:, 2].any()
    assert coef[0].any()


def test_sweeps_are_counted_up_to_their_limit():
    moments = Moments.from_arrays(*wide_problem(n=30, p=40, correlation=0.99))
    none = np.zeros(40)
    assert RowDescent(moments, False).run(np.zeros((3, 40)), moments.xty, none, none + 1e-3, 0.0, 7)[1] == 7


@pytest.mark.parametrize("positive", [False, True])
def test_the_sparse_group_path_falls_back_on_gradient_steps(positive, monkeypatch):
    moments = Moments.from_arrays(*wide_problem(n=40, p=30, missing=0.2, correlation=0.9))
    grid = np.array([[40.0, 0.4], [10.0, 0.4], [5.0, 0.8]])
    settings = {"factors": np.ones(30), "positive": positive, "tol": 1e-11, "max_iter": 100_000}
    swept = sparse_group_path(moments, grid, **settings)
    monkeypatch.setattr("polytask.linear.solvers.sparse_group._SWEEPS", 1)
    stepped = sparse_group_path(moments, grid, **settings)
    for path in (swept, stepped):
        assert np.all(path.gap <= 1e-11 * path.null)
        assert path.measure == "duality gap"
    np.testing.assert_allclose(stepped.coef, swept.coef, atol=1e-5)
