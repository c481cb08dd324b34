from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem
from scipy import sparse
from scipy.optimize import minimize

from polytask.linear import LabelledTable, Moments
from polytask.linear.losses.gram import GramLoss
from polytask.linear.losses.kinds import KINDS
from polytask.linear.losses.rows import RowLoss

each_kind = pytest.mark.parametrize("kind", list(KINDS))


def problem(kind, n=40, p=6, q=3, missing=0.2):
    """X, labels of a kind with NaN, weights with zeros."""
    X, Y = wide_problem(n, p, q)
    rng = np.random.default_rng(1)
    Z = (Y - Y.mean(axis=0)) / Y.std(axis=0)
    if kind == "logistic":
        Y = (rng.random(Z.shape) < 1 / (1 + np.exp(-Z))).astype(float)
    elif kind == "poisson":
        Y = rng.poisson(np.exp(Z / 2)).astype(float)
    Y[rng.random(Y.shape) < missing] = np.nan
    return X, Y, rng.uniform(0.2, 2, n) * (rng.random(n) > 0.1)


def loss_of(kind, X, Y, w, fit_intercept=True):
    return RowLoss(LabelledTable.from_arrays(X, Y, w), kind, fit_intercept)


def literal(kind, X, Y, w, coef, intercept):
    """Σ w ℓ(y, xb + b0), by the definition."""
    total, z = 0.0, X @ coef.T + intercept
    for t in range(Y.shape[1]):
        for i in range(len(X)):
            if not np.isnan(Y[i, t]):
                total += w[i] * float(KINDS[kind].value(Y[i, t], z[i, t]))
    return total


@each_kind
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_value_is_the_literal_sum_at_the_best_intercepts(kind, fit_intercept):
    X, Y, w = problem(kind)
    loss, coef = loss_of(kind, X, Y, w, fit_intercept), np.random.default_rng(0).normal(size=(3, 6)) / 5
    intercept = loss.intercept(coef)
    np.testing.assert_allclose(loss.at(coef).value, literal(kind, X, Y, w, coef, intercept), rtol=1e-10)
    if not fit_intercept:
        assert not intercept.any()
        return
    best = minimize(lambda b0: literal(kind, X, Y, w, coef, b0), intercept, method="BFGS")
    assert loss.at(coef).value <= best.fun + 1e-9 * abs(best.fun)


@each_kind
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_slope_is_minus_the_gradient(kind, fit_intercept):
    X, Y, w = problem(kind)
    loss, rng = loss_of(kind, X, Y, w, fit_intercept), np.random.default_rng(0)
    for _ in range(5):
        coef, way, h = rng.normal(size=(3, 6)) / 5, rng.normal(size=(3, 6)), 1e-5
        numeric = (loss.at(coef + h * way).value - loss.at(coef - h * way).value) / (2 * h)
        np.testing.assert_allclose(np.vdot(loss.at(coef).slope, way), -numeric, rtol=1e-6)


@each_kind
def test_the_dual_lies_below_the_primal_of_any_coefficients(kind):
    # For the norm Ω whose dual norm of the slope is 1: P(B') = f(B') + Ω(B') ≥ D at any B.
    X, Y, w = problem(kind)
    loss, rng = loss_of(kind, X, Y, w), np.random.default_rng(0)
    for _ in range(20):
        coef = rng.normal(size=(3, 6)) * rng.choice([0.01, 0.3])
        value, slope = loss.at(coef)
        strength = rng.uniform(0.2, 3) * np.abs(slope).max()
        scale = loss.best_scale(coef, strength / np.abs(slope).max())
        other = rng.normal(size=(3, 6)) * rng.choice([0.0, 0.01, 0.3])
        for primal in (
            value + strength * np.abs(coef).sum(),
            loss.at(other).value + strength * np.abs(other).sum(),
        ):
            assert loss.dual(coef, scale) <= primal + 1e-9 * loss.null


@each_kind
def test_intercepts_are_kept_with_their_point(kind):
    X, Y, w = problem(kind)
    loss, rng = loss_of(kind, X, Y, w), np.random.default_rng(0)
    coef = rng.normal(size=(3, 6)) / 5
    here = loss.point(coef)
    before = loss.intercept(coef)
    far = loss.beyond(loss.point(-coef), loss.point(coef), 2.0)
    assert np.isfinite(far.value)
    np.testing.assert_allclose(loss.intercept(coef), before, atol=1e-9)
    np.testing.assert_allclose(far.slope, loss.at(far.coef).slope, atol=1e-8)
    np.testing.assert_allclose(
        loss.bend(here, far), np.vdot(here.slope - far.slope, far.coef - coef), rtol=1e-7
    )


@each_kind
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_sparse_features_give_the_same(kind, fit_intercept):
    X, Y, w = problem(kind)
    X[np.random.default_rng(3).random(X.shape) < 0.6] = 0
    coef = np.random.default_rng(0).normal(size=(3, 6)) / 5
    dense, thin = (loss_of(kind, table, Y, w, fit_intercept) for table in (X, sparse.csr_matrix(X)))
    np.testing.assert_allclose(thin.at(coef).value, dense.at(coef).value, rtol=1e-12)
    np.testing.assert_allclose(thin.at(coef).slope, dense.at(coef).slope, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(thin.intercept(coef), dense.intercept(coef), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose([thin.null, thin.curvature], [dense.null, dense.curvature], rtol=1e-10)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_squared_loss_of_rows_is_that_of_moments(fit_intercept):
    X, Y, w = problem("squared")
    coef = np.random.default_rng(0).normal(size=(3, 6))
    moments = Moments.from_arrays(X, Y, w)
    rows, gram = loss_of("squared", X, Y, w, fit_intercept), GramLoss(
        moments if fit_intercept else moments.about_zero())  # fmt: skip
    np.testing.assert_allclose(rows.null, gram.null, rtol=1e-10)
    np.testing.assert_allclose(rows.at(coef).value, gram.at(coef).value, rtol=1e-10)
    np.testing.assert_allclose(rows.at(coef).slope, gram.at(coef).slope, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(rows.dual(coef, 0.7), gram.dual(coef, 0.7), rtol=1e-8)


@pytest.mark.parametrize("kind", ["squared", "logistic"])
def test_the_curvature_bounds_that_of_all_moves(kind):
    X, Y, w = problem(kind)
    loss, rng = loss_of(kind, X, Y, w), np.random.default_rng(0)
    for _ in range(20):
        start, end = (loss.point(rng.normal(size=(3, 6)) / 5) for _ in range(2))
        move = end.coef - start.coef
        assert loss.bend(start, end) <= loss.curvature * np.vdot(move, move)


def test_a_task_of_one_class_has_no_term_and_an_intercept_near_the_border():
    X, Y, w = problem("logistic", missing=0.0)
    Y[:, 1] = 1.0
    both, rest = loss_of("logistic", X, Y, w), loss_of("logistic", X, Y[:, [0, 2]], w)
    coef = np.random.default_rng(0).normal(size=(3, 6)) / 5
    np.testing.assert_allclose(both.at(coef).value, rest.at(coef[[0, 2]]).value, rtol=1e-12)
    assert not both.at(coef).slope[1].any()
    assert both.intercept(np.zeros((3, 6)))[1] > 20
    counts = np.where(np.arange(3) == 2, 0.0, problem("poisson", missing=0.0)[1])
    assert loss_of("poisson", X, counts, w).intercept(np.zeros((3, 6)))[2] < -20


def test_a_task_without_labels_has_the_level_of_all():
    X, Y, w = problem("poisson", missing=0.0)
    mean = np.average(Y[:, :2], axis=0, weights=w).mean()
    Y[:, 2] = np.nan
    np.testing.assert_allclose(loss_of("poisson", X, Y, w).intercept(np.zeros((3, 6)))[2], np.log(mean))
