from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from convex_optimum import data_loss, labels_for, optimum, squared_gap
from problems import wide_problem

from polytask.errors import SettingError
from polytask.linear import DirtyModel, DirtyModelCV, Moments, TaskLasso, TaskRidgeCV


def strengths(alpha, share, n_tasks):
    """λ₁ of S and λ₂ of R."""
    return alpha / n_tasks**share, alpha


def cvxpy_penalty(alpha, share, n_tasks):
    first, second = strengths(alpha, share, n_tasks)
    return lambda R, S: first * cp.sum(cp.abs(S)) + second * cp.sum(cp.max(cp.abs(R), axis=0))


def reached(fitted, X, Y, w=None, loss="squared"):
    first, second = strengths(fitted.alpha, fitted.sparse_share, Y.shape[1])
    value = data_loss(X, Y, fitted.coef_, fitted.intercept_, w, loss)
    value += first * np.abs(fitted.sparse_coef_).sum()
    return value + second * np.abs(fitted.shared_coef_).max(axis=0).sum()


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson"])
@pytest.mark.parametrize("positive", [False, True])
def test_reaches_cvxpys_optimum_with_missing_labels_and_weights(loss, positive):
    X, Y = wide_problem(n=40, p=5, missing=0.3)
    Y = labels_for(loss, X, Y)
    w = np.random.default_rng(0).uniform(0.1, 3, len(X))
    fitted = DirtyModel(0.1, 0.6, loss=loss, positive=positive, tol=1e-9).fit(X, Y, w)
    expected = optimum(X, Y, cvxpy_penalty(0.1, 0.6, 3), w, loss, n_parts=2, positive=positive)
    np.testing.assert_allclose(reached(fitted, X, Y, w, loss), expected, rtol=1e-6)
    np.testing.assert_allclose(fitted.shared_coef_ + fitted.sparse_coef_, fitted.coef_, atol=1e-12)
    assert not positive or fitted.coef_.min() >= 0


def test_the_dual_gap_is_that_of_the_rows():
    X, Y = wide_problem(missing=0.3)
    fitted = DirtyModel(0.2, 0.6, tol=1e-3).fit(X, Y)
    first, second = strengths(0.2, 0.6, 3)
    expected = squared_gap(
        X, Y, fitted.coef_, fitted.intercept_,
        reached(fitted, X, Y) - data_loss(X, Y, fitted.coef_, fitted.intercept_),
        lambda slope: max(np.abs(slope).max() / first, np.abs(slope).sum(axis=0).max() / second),
    )  # fmt: skip
    np.testing.assert_allclose(fitted.dual_gap_, expected, rtol=1e-6)


def test_a_share_of_one_is_a_lasso():
    X, Y = wide_problem()
    dirty, lasso = DirtyModel(0.3, 1.0, tol=1e-12).fit(X, Y), TaskLasso(0.1, tol=1e-12).fit(X, Y)
    np.testing.assert_allclose(dirty.coef_, lasso.coef_, atol=1e-5)


def test_a_share_of_zero_has_a_block_norm_alone():
    X, Y = wide_problem(n=40, p=5, missing=0.2)
    fitted = DirtyModel(0.3, 0.0, tol=1e-10).fit(X, Y)
    largest = np.abs(fitted.coef_).max(axis=0).sum()
    expected = optimum(X, Y, lambda B: 0.3 * cp.sum(cp.max(cp.abs(B), axis=0)))
    value = data_loss(X, Y, fitted.coef_, fitted.intercept_) + 0.3 * largest
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_largest_penalty_is_the_least_without_coefficients(share):
    X, Y = wide_problem(missing=0.3)
    grid = DirtyModel().default_grid(Moments.from_arrays(X, Y))
    largest = grid[grid[:, 1] == share, 0].max()
    assert not DirtyModel(largest, share, tol=1e-12).fit(X, Y).coef_.any()
    assert DirtyModel(largest * 0.98, share, tol=1e-12).fit(X, Y).coef_.any()


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_unpenalised_features_are_in_the_shared_part(loss):
    X, Y = wide_problem(n=40, p=5, missing=0.2)
    Y = labels_for(loss, X, Y)
    factors = np.array([1.0, 0.0, 2.0, 1.0, 0.0])
    fitted = DirtyModel(0.1, 0.5, loss=loss, penalty_factors=factors, tol=1e-9).fit(X, Y)
    free = factors == 0
    np.testing.assert_allclose(fitted.shared_coef_ + fitted.sparse_coef_, fitted.coef_, atol=1e-12)
    np.testing.assert_array_equal(fitted.shared_coef_[:, free], fitted.coef_[:, free])
    assert not fitted.sparse_coef_[:, free].any()
    first, second = strengths(0.1, 0.5, 3)
    expected = optimum(
        X, Y,
        lambda R, S: first * cp.sum(cp.abs(S) @ factors) + second * cp.max(cp.abs(R), axis=0) @ factors,
        loss=loss, n_parts=2,
    )  # fmt: skip
    value = data_loss(X, Y, fitted.coef_, fitted.intercept_, loss=loss)
    value += first * (np.abs(fitted.sparse_coef_) @ factors).sum()
    value += second * np.abs(fitted.shared_coef_).max(axis=0) @ factors
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_the_parts_are_in_the_units_of_the_coefficients():
    X, Y = wide_problem(missing=0.2)
    x_units, y_units = 10.0 ** np.arange(-4, 4), np.array([1.0, 1e3, 1e-3])
    model = DirtyModel(0.1, 0.5, standardize=True, scale_targets=True, tol=1e-10)
    one = model.fit(X, Y).shared_coef_
    other = model.fit(X * x_units, Y * y_units).shared_coef_
    np.testing.assert_allclose(other * x_units / y_units[:, None], one, atol=1e-5)
    np.testing.assert_allclose(model.shared_coef_ + model.sparse_coef_, model.coef_, rtol=1e-9)


def test_shared_and_own_features_are_recovered_better_than_by_ridge_per_task():
    rng = np.random.default_rng(0)
    B, tables = np.zeros((8, 30)), {}
    B[:, :3] = rng.choice([-1, 1], size=(8, 3))
    for t in range(8):
        B[t, rng.choice(np.arange(3, 30), 2, replace=False)] = rng.choice([-2, 2], 2)
        X = rng.normal(size=(30, 30))
        tables[f"t{t}"] = (X, X @ B[t] + rng.normal(size=30))
    fitted = DirtyModelCV(n_alphas=8, eps=0.02, sparse_shares=[0.5, 0.75]).fit(tables)
    apart = TaskRidgeCV().fit(tables)
    assert ((fitted.coef_ - B) ** 2).sum() < 0.3 * ((apart.coef_ - B) ** 2).sum()
    shared = np.abs(fitted.shared_coef_).min(axis=0)
    assert set(np.argsort(-shared)[:3]) == {0, 1, 2}
    assert fitted.grid_.shape == (16, 2)
    assert fitted.sparse_share_ in (0.5, 0.75)


def test_shares_beyond_the_ends_are_refused():
    X, Y = wide_problem()
    with pytest.raises(SettingError, match=r"sparse_share must lie between 0 \(the shared part alone"):
        DirtyModel(0.1, 1.5).fit(X, Y)
