from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem
from scipy.optimize import check_grad

from polytask.linear import LabelledTable, Moments
from polytask.linear.losses.clustered import Clustered
from polytask.linear.losses.coupled import Coupled
from polytask.linear.losses.gram import GramLoss
from polytask.linear.losses.rows import RowLoss
from polytask.linear.solvers.cluster_penalty import ClusterPenalty


def labels_of(kind, Y, seed=0):
    """Targets that suit a loss, missing where Y is."""
    level = np.nanmean(Y, axis=0)
    scaled = (Y - level) / np.nanstd(Y, axis=0)
    if kind == "logistic":
        return np.where(np.isnan(Y), np.nan, scaled > 0)
    if kind == "poisson":
        counts = np.random.default_rng(seed).poisson(np.exp(np.nan_to_num(scaled) / 2))
        return np.where(np.isnan(Y), np.nan, counts)
    return Y


def loss_of(kind, fit_intercept=True):
    X, Y = wide_problem(n=30, p=4, missing=0.3)
    table = LabelledTable.from_arrays(X, labels_of(kind, Y), np.random.default_rng(1).uniform(0.5, 2, 30))
    if kind == "gram":
        return GramLoss(Moments.from_table(table))
    return RowLoss(table, kind, fit_intercept)


def random_matrix(seed=0):
    root = np.random.default_rng(seed).normal(size=(3, 3))
    return root @ root.T


FACTORS = np.array([1.0, 0.5, 0.0, 2.0])


def coupled(loss):
    return Coupled(loss, random_matrix(), FACTORS)


def clustered(loss):
    return Clustered(loss, ClusterPenalty(0.7, 5.0, 2), (FACTORS > 0).astype(float))


@pytest.mark.parametrize("kind", ["gram", "squared", "logistic", "poisson"])
@pytest.mark.parametrize("made", [coupled, clustered])
def test_slopes_are_gradients(kind, made):
    loss = made(loss_of(kind))
    coef = np.random.default_rng(2).normal(size=12) * 0.3
    error = check_grad(
        lambda b: loss.at(b.reshape(3, 4)).value, lambda b: -loss.at(b.reshape(3, 4)).slope.ravel(), coef
    )
    assert error < 1e-5 * np.linalg.norm(loss.at(coef.reshape(3, 4)).slope)


@pytest.mark.parametrize("made", [coupled, clustered])
def test_points_beyond_and_bends_are_those_of_their_definitions(made):
    loss, rng = made(loss_of("logistic")), np.random.default_rng(0)
    first, second = loss.point(rng.normal(size=(3, 4))), loss.point(rng.normal(size=(3, 4)))
    beyond = loss.beyond(first, second, 0.7)
    expected = loss.at(second.coef + 0.7 * (second.coef - first.coef))
    np.testing.assert_allclose(beyond.value, expected.value)
    np.testing.assert_allclose(beyond.slope, expected.slope, atol=1e-9)
    change = np.vdot(first.slope - second.slope, second.coef - first.coef)
    np.testing.assert_allclose(loss.bend(first, second), change)


def test_a_coupling_is_rows_of_data_with_targets_of_zero():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(20, 4)), rng.normal(size=(20, 1))
    plain = RowLoss(LabelledTable.from_arrays(X, Y), "squared", fit_intercept=False)
    ours = Coupled(plain, np.array([[3.0]]), FACTORS)
    more = np.vstack([X, np.diag(np.sqrt(3 * FACTORS))])
    rows = RowLoss(LabelledTable.from_arrays(more, np.vstack([Y, np.zeros((4, 1))])), "squared", False)
    coef = rng.normal(size=(1, 4))
    np.testing.assert_allclose(ours.at(coef).value, rows.at(coef).value)
    for scale in (0.3, 1.0):
        np.testing.assert_allclose(ours.dual(coef, scale), rows.dual(coef, scale))


@pytest.mark.parametrize("kind", ["gram", "logistic"])
@pytest.mark.parametrize("made", [coupled, clustered])
def test_curvature_bounds_the_change_of_slopes(kind, made):
    loss, rng = made(loss_of(kind)), np.random.default_rng(3)
    for size in (1e-3, 1.0):
        start = rng.normal(size=(3, 4))
        move = size * rng.normal(size=(3, 4))
        bend = loss.bend(loss.point(start), loss.point(start + move))
        assert 0 <= bend <= loss.curvature * np.vdot(move, move) * (1 + 1e-9)
