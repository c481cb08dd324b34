from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from convex_optimum import data_loss, labels_for, optimum, squared_gap
from problems import wide_problem

from polytask.linear import GroupLasso, Moments, RobustFeatures, RobustFeaturesCV, TaskRidgeCV, TraceNorm


def strengths(alpha, share, n_tasks, n_features):
    """λ₁ and λ₂."""
    return alpha, alpha * np.sqrt(n_features) ** (1 - share) / np.sqrt(n_tasks) ** share


def penalty_value(fitted):
    first, second = strengths(fitted.alpha, fitted.outlier_share, *fitted.coef_.shape)
    value = first * np.linalg.norm(fitted.shared_coef_, axis=0).sum()
    return value + second * np.linalg.norm(fitted.outlier_coef_, axis=1).sum()


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson"])
@pytest.mark.parametrize("positive", [False, True])
def test_reaches_cvxpys_optimum_with_missing_labels_and_weights(loss, positive):
    X, Y = wide_problem(n=40, p=5, missing=0.3)
    Y = labels_for(loss, X, Y)
    w = np.random.default_rng(0).uniform(0.1, 3, len(X))
    fitted = RobustFeatures(0.1, 0.5, loss=loss, positive=positive, tol=1e-9).fit(X, Y, w)
    first, second = strengths(0.1, 0.5, 3, 5)
    expected = optimum(
        X, Y,
        lambda P, Q: first * cp.sum(cp.norm(P, axis=0)) + second * cp.sum(cp.norm(Q, axis=1)),
        w, loss, n_parts=2, positive=positive,
    )  # fmt: skip
    reached = data_loss(X, Y, fitted.coef_, fitted.intercept_, w, loss) + penalty_value(fitted)
    np.testing.assert_allclose(reached, expected, rtol=1e-6)
    np.testing.assert_allclose(fitted.shared_coef_ + fitted.outlier_coef_, fitted.coef_, atol=1e-12)
    assert not positive or fitted.coef_.min() >= 0


def test_the_dual_gap_is_that_of_the_rows():
    X, Y = wide_problem(missing=0.3)
    fitted = RobustFeatures(0.2, 0.5, tol=1e-3).fit(X, Y)
    first, second = strengths(0.2, 0.5, 3, 8)
    expected = squared_gap(
        X, Y, fitted.coef_, fitted.intercept_, penalty_value(fitted),
        lambda slope: max(
            np.linalg.norm(slope, axis=0).max() / first, np.linalg.norm(slope, axis=1).max() / second
        ),
    )  # fmt: skip
    np.testing.assert_allclose(fitted.dual_gap_, expected, rtol=1e-6)


def test_a_share_of_zero_is_the_group_lasso():
    X, Y = wide_problem(missing=0.2)
    robust, plain = RobustFeatures(0.2, 0.0, tol=1e-12).fit(X, Y), GroupLasso(0.2, tol=1e-12).fit(X, Y)
    np.testing.assert_allclose(robust.coef_, plain.coef_, atol=1e-5)


def test_a_share_of_one_is_a_group_penalty_of_each_task():
    X, Y = wide_problem(n=40, p=5)
    fitted = RobustFeatures(0.3, 1.0, tol=1e-11).fit(X, Y)
    for t in range(3):
        # The trace norm of one row is its length.
        alone = TraceNorm(0.3 / np.sqrt(3), tol=1e-12).fit(X, Y[:, [t]])
        np.testing.assert_allclose(fitted.coef_[t], alone.coef_[0], atol=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_largest_penalty_is_the_least_without_coefficients(share):
    X, Y = wide_problem(missing=0.3)
    grid = RobustFeatures().default_grid(Moments.from_arrays(X, Y))
    largest = grid[grid[:, 1] == share, 0].max()
    none, some = (RobustFeatures(largest * part, share, tol=1e-12).fit(X, Y) for part in (1.0, 0.98))
    assert not none.coef_.any()
    assert none.outlier_tasks_ == ()
    assert some.coef_.any()


def robust_tables(seed, n=40, q=15, p=20):
    """Tasks that use the first three features, but t3 and t8."""
    rng = np.random.default_rng(seed)
    B = np.zeros((q, p))
    B[:, :3] = rng.choice([-1.5, 1.5], size=(q, 3))
    B[[3, 8]] = rng.normal(size=(2, p)) * 1.5
    tables = {}
    for t, b in enumerate(B):
        X = rng.normal(size=(n, p))
        tables[f"t{t}"] = (X, X @ b + 5 * t + rng.normal(size=n))
    return B, tables


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_outlier_tasks_and_shared_features_are_found(seed):
    _, tables = robust_tables(seed)
    fitted = RobustFeatures(1.5, 0.4).fit(tables)
    assert fitted.outlier_tasks_ == ("t3", "t8")
    assert np.flatnonzero(fitted.shared_coef_.any(axis=0)).tolist() == [0, 1, 2]
    assert np.flatnonzero(fitted.outlier_coef_.any(axis=1)).tolist() == [3, 8]


def test_cross_validation_beats_ridge_per_task():
    B, tables = robust_tables(2, n=20)
    fitted = RobustFeaturesCV(n_alphas=8, eps=0.03, outlier_shares=[0.25, 0.5]).fit(tables)
    apart = TaskRidgeCV().fit(tables)
    assert ((fitted.coef_ - B) ** 2).sum() < 0.6 * ((apart.coef_ - B) ** 2).sum()
    lengths = np.linalg.norm(fitted.outlier_coef_, axis=1)
    assert set(np.argsort(-lengths)[:2]) == {3, 8}
    assert {"t3", "t8"} <= set(fitted.outlier_tasks_)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_unpenalised_features_make_no_outliers(loss):
    X, Y = wide_problem(n=40, p=5, missing=0.2)
    Y = labels_for(loss, X, Y)
    factors = np.array([1.0, 0.0, 1.0, 1.0, 1.0])
    fitted = RobustFeatures(1e3, 0.5, loss=loss, penalty_factors=factors, tol=1e-9).fit(X, Y)
    assert fitted.outlier_tasks_ == ()
    assert np.flatnonzero(fitted.coef_.any(axis=0)).tolist() == [1]
    np.testing.assert_array_equal(fitted.shared_coef_, fitted.coef_)
