from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from convex_optimum import data_loss, labels_for, optimum, squared_gap
from problems import wide_problem

from polytask.errors import SettingError
from polytask.linear import Moments, RobustTasks, RobustTasksCV, TaskRidgeCV, TraceNorm


def strengths(alpha, share, n_tasks):
    """λ_L and λ_S."""
    return alpha, alpha / n_tasks ** (share / 2)


def penalty_value(fitted, low_rank, outlying):
    first, second = strengths(fitted.alpha, fitted.outlier_share, len(low_rank))
    value = first * np.linalg.svd(low_rank, compute_uv=False).sum()
    return value + second * np.linalg.norm(outlying, axis=1).sum()


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_reaches_cvxpys_optimum_with_missing_labels_and_weights(loss, share):
    X, Y = wide_problem(n=40, p=5, missing=0.3)
    Y = labels_for(loss, X, Y)
    w = np.random.default_rng(0).uniform(0.1, 3, len(X))
    fitted = RobustTasks(0.1, share, loss=loss, tol=1e-9).fit(X, Y, w)
    first, second = strengths(0.1, share, 3)
    expected = optimum(
        X, Y, lambda L, S: first * cp.normNuc(L) + second * cp.sum(cp.norm(S, axis=1)), w, loss, n_parts=2
    )
    reached = data_loss(X, Y, fitted.coef_, fitted.intercept_, w, loss)
    reached += penalty_value(fitted, fitted.low_rank_coef_, fitted.outlier_coef_)
    np.testing.assert_allclose(reached, expected, rtol=1e-6)
    np.testing.assert_allclose(fitted.low_rank_coef_ + fitted.outlier_coef_, fitted.coef_, atol=1e-12)


def test_the_dual_gap_is_that_of_the_rows():
    X, Y = wide_problem(missing=0.3)
    fitted = RobustTasks(0.2, 0.4, tol=1e-3).fit(X, Y)
    first, second = strengths(0.2, 0.4, 3)
    expected = squared_gap(
        X, Y, fitted.coef_, fitted.intercept_,
        penalty_value(fitted, fitted.low_rank_coef_, fitted.outlier_coef_),
        lambda slope: max(np.linalg.norm(slope, 2) / first, np.linalg.norm(slope, axis=1).max() / second),
    )  # fmt: skip
    np.testing.assert_allclose(fitted.dual_gap_, expected, rtol=1e-6)


def test_a_share_of_zero_is_the_trace_norm():
    X, Y = wide_problem(missing=0.2)
    robust, plain = RobustTasks(0.2, 0.0, tol=1e-12).fit(X, Y), TraceNorm(0.2, tol=1e-12).fit(X, Y)
    np.testing.assert_allclose(robust.coef_, plain.coef_, atol=1e-5)


def test_a_share_of_one_is_a_group_penalty_of_each_task():
    X, Y = wide_problem(n=40, p=5)
    fitted = RobustTasks(0.3, 1.0, tol=1e-11).fit(X, Y)
    for t in range(3):
        # One task's share of a sum over three; the trace norm of one row is its length.
        alone = TraceNorm(0.3 / np.sqrt(3), tol=1e-12).fit(X, Y[:, [t]])
        np.testing.assert_allclose(fitted.coef_[t], alone.coef_[0], atol=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_largest_penalty_is_the_least_without_coefficients(share):
    X, Y = wide_problem(missing=0.3)
    grid = RobustTasks().default_grid(Moments.from_arrays(X, Y))
    largest = grid[grid[:, 1] == share, 0].max()
    none, some = (RobustTasks(largest * part, share, tol=1e-12).fit(X, Y) for part in (1.0, 0.98))
    assert not none.coef_.any()
    assert (none.rank_, none.outlier_tasks_) == (0, ())
    assert some.coef_.any()


def robust_tables(seed, n=40, q=15, p=12, rank=2):
    """Tasks of rank 2, but t3 and t8."""
    rng = np.random.default_rng(seed)
    B = rng.normal(size=(q, rank)) @ rng.normal(size=(rank, p))
    B[[3, 8]] = rng.normal(size=(2, p)) * 3
    tables = {}
    for t, b in enumerate(B):
        X = rng.normal(size=(n, p))
        tables[f"t{t}"] = (X, X @ b + 5 * t + rng.normal(size=n))
    return B, tables


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_outlier_tasks_are_found_and_named(seed):
    _, tables = robust_tables(seed)
    fitted = RobustTasks(2.0, 0.1).fit(tables)
    assert fitted.outlier_tasks_ == ("t3", "t8")
    assert np.flatnonzero(fitted.outlier_coef_.any(axis=1)).tolist() == [3, 8]
    assert fitted.rank_ <= 3


def test_cross_validation_beats_ridge_per_task():
    B, tables = robust_tables(2, n=20)
    fitted = RobustTasksCV(n_alphas=8, eps=0.03, outlier_shares=[0.25, 0.5]).fit(tables)
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
    fitted = RobustTasks(1e3, 0.5, loss=loss, penalty_factors=factors, tol=1e-9).fit(X, Y)
    assert (fitted.rank_, fitted.outlier_tasks_) == (0, ())
    assert np.flatnonzero(fitted.coef_.any(axis=0)).tolist() == [1]
    np.testing.assert_array_equal(fitted.low_rank_coef_, fitted.coef_)


def test_positive_coefficients_are_refused():
    X, Y = wide_problem()
    with pytest.raises(SettingError, match="RobustTasks can't take positive=True: singular values"):
        RobustTasks(positive=True).fit(X, Y)
