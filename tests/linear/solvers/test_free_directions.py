from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

from polytask.linear.losses.gram import GramLoss
from polytask.linear.losses.ridged import Ridged
from polytask.linear.losses.rows import RowLoss
from polytask.linear.moments import Moments
from polytask.linear.penalties.base import blocks_alone, numbered
from polytask.linear.solvers.free_directions import FreeDirections
from polytask.linear.table import LabelledTable

LOSSES = ["gram", "squared", "logistic", "poisson"]
SHAPE = (3, 5)


def table(kind, *, collinear=False, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(50, 5)) + 1
    if collinear:
        X[:, 1] = 2 * X[:, 0]
        X[:, 2] = X[:, 0] + 1e-4 * rng.normal(size=50)
    z = X @ rng.normal(size=(5, 3)) / 2
    made = {"logistic": rng.random(z.shape) < 1 / (1 + np.exp(-z)), "poisson": rng.poisson(np.exp(z / 3))}
    Y = made.get(kind, z + rng.normal(size=z.shape)).astype(float)
    Y[rng.random(Y.shape) < 0.2] = np.nan
    return LabelledTable.from_arrays(X, Y, rng.uniform(0.5, 2, 50))


def loss_of(kind, **settings):
    rows = table(kind, **settings)
    return GramLoss(Moments.from_table(rows)) if kind == "gram" else RowLoss(rows, kind)


def common_and_own():
    """The first two tasks share a number in features 0 to 2, and feature 4 is free in every task."""
    blocks = np.full(SHAPE, -1)
    blocks[:2, :3] = [0, 1, 2]
    blocks[:, 4] = [3, 4, 5]
    return blocks


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("collinear", [False, True])
def test_no_slope_is_left_along_the_blocks(kind, collinear):
    loss, free = loss_of(kind, collinear=collinear), FreeDirections(common_and_own())
    start = loss.point(0.1 * np.random.default_rng(1).normal(size=SHAPE))
    found, left = free.settle(loss, start, 0.0)
    assert np.abs(free.sums(found.slope)).max() < 1e-6 * np.abs(loss.at(np.zeros(SHAPE)).slope).max()
    assert 0 <= left < 1e-12 * loss.null
    assert found.value < start.value
    move = found.coef - start.coef
    np.testing.assert_allclose(move[0, :3], move[1, :3], atol=1e-12)
    assert not move[2, :3].any()
    assert not move[:, 3].any()


def test_squared_loss_is_settled_in_one_step():
    loss, free = loss_of("gram"), FreeDirections(common_and_own())
    once, _ = free.settle(loss, loss.point(np.ones(SHAPE)), np.inf)
    assert not (once.coef - 1).any()
    found, _ = free.settle(loss, loss.point(np.zeros(SHAPE)), 0.0)
    # Least squares in the 6 numbers, from the definition of the quadratic.
    basis = np.stack([(common_and_own() == b).astype(float).ravel() for b in range(6)])
    whole = np.zeros((15, 15))
    for t in range(3):
        whole[5 * t : 5 * t + 5, 5 * t : 5 * t + 5] = loss.gram[loss.pattern[t]]
    best = np.linalg.solve(basis @ whole @ basis.T, basis @ loss.xty.ravel())
    np.testing.assert_allclose(found.coef.ravel(), best @ basis, rtol=1e-8)


def test_a_ridge_belongs_to_the_loss():
    loss = Ridged(loss_of("logistic"), np.full(5, 3.0))
    found, _ = FreeDirections(common_and_own()).settle(loss, loss.point(np.zeros(SHAPE)), 0.0)
    assert np.abs(FreeDirections(common_and_own()).sums(found.slope)).max() < 1e-5


def test_the_best_positive_numbers_are_those_of_non_negative_least_squares():
    rows = table("squared")
    loss = GramLoss(Moments.from_table(rows))
    best = FreeDirections(blocks_alone(np.ones(5, bool), SHAPE)).best(loss, positive=True)
    for t in range(3):
        root = np.linalg.cholesky(loss.gram[loss.pattern[t]])
        expected, _ = nnls(root.T, np.linalg.solve(root, loss.xty[t]))
        np.testing.assert_allclose(best.coef[t], expected, atol=1e-5)
    assert (best.coef == 0).any()
    assert (best.coef > 0.01).any()


def test_no_blocks_and_no_labels_to_explain_leave_zeros():
    loss = loss_of("gram")
    assert not FreeDirections(np.full(SHAPE, -1)).best(loss).coef.any()
    flat = GramLoss(Moments.from_table(LabelledTable.from_arrays(np.eye(6)[:, :5], np.ones((6, 3)))))
    assert not FreeDirections(common_and_own()).best(flat, positive=True).coef.any()


def test_means_over_blocks_are_taken_out():
    free = FreeDirections(common_and_own())
    slope = np.random.default_rng(0).normal(size=SHAPE)
    rest = free.without(slope)
    np.testing.assert_allclose(free.sums(rest), 0, atol=1e-14)
    np.testing.assert_array_equal(rest[:, 3], slope[:, 3])


def test_blocks_are_numbered_without_gaps():
    np.testing.assert_array_equal(numbered(np.array([[7, -1], [7, 3]])), [[1, -1], [1, 0]])
    assert blocks_alone(np.zeros(2, bool), (2, 2)) is None
    np.testing.assert_array_equal(blocks_alone(np.array([False, True]), (2, 2)), [[-1, 0], [-1, 1]])
