from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from convex_optimum import data_loss, labels_for, optimum, squared_gap
from problems import wide_problem
from sklearn.linear_model import LinearRegression

from polytask.errors import SettingError
from polytask.linear import Moments, TaskRidgeCV, TraceNorm, TraceNormCV


def trace(coef):
    return np.linalg.svd(coef, compute_uv=False).sum()


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson"])
@pytest.mark.parametrize("weighted", [False, True])
def test_reaches_cvxpys_optimum_with_missing_labels_and_weights(loss, weighted):
    X, Y = wide_problem(n=40, p=5, missing=0.3)
    Y = labels_for(loss, X, Y)
    w = np.random.default_rng(0).uniform(0.1, 3, len(X)) if weighted else None
    fitted = TraceNorm(0.1, loss=loss, tol=1e-9).fit(X, Y, w)
    reached = data_loss(X, Y, fitted.coef_, fitted.intercept_, w, loss) + 0.1 * trace(fitted.coef_)
    np.testing.assert_allclose(reached, optimum(X, Y, lambda B: 0.1 * cp.normNuc(B), w, loss), rtol=1e-6)
    assert 0 < fitted.rank_ <= 3


def test_more_features_than_rows_reach_cvxpys_optimum():
    X, Y = wide_problem(n=12, p=30)
    fitted = TraceNorm(0.5, tol=1e-10).fit(X, Y)
    reached = data_loss(X, Y, fitted.coef_, fitted.intercept_) + 0.5 * trace(fitted.coef_)
    np.testing.assert_allclose(reached, optimum(X, Y, lambda B: 0.5 * cp.normNuc(B)), rtol=1e-6)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_penalty_factors_scale_features_and_leave_others_free(loss):
    X, Y = wide_problem(n=40, p=5, missing=0.2)
    Y = labels_for(loss, X, Y)
    factors = np.array([1.0, 0.0, 2.0, 1.0, 0.5])
    fitted = TraceNorm(0.2, loss=loss, penalty_factors=factors, tol=1e-9).fit(X, Y)
    scaled = factors[factors > 0]

    def penalty(B):
        return 0.2 * cp.normNuc(B[:, factors > 0] @ np.diag(scaled))

    reached = data_loss(X, Y, fitted.coef_, fitted.intercept_, loss=loss)
    reached += 0.2 * trace(fitted.coef_[:, factors > 0] * scaled)
    np.testing.assert_allclose(reached, optimum(X, Y, penalty, loss=loss), rtol=1e-6)


@pytest.mark.parametrize("tol", [1e-2, 1e-5])
def test_the_dual_gap_is_that_of_the_rows(tol):
    X, Y = wide_problem(missing=0.3)
    w = np.linspace(0.5, 2, len(X))
    fitted = TraceNorm(0.2, tol=tol).fit(X, Y, w)
    expected = squared_gap(
        X, Y, fitted.coef_, fitted.intercept_, 0.2 * trace(fitted.coef_),
        lambda slope: np.linalg.norm(slope, 2) / 0.2, w,
    )  # fmt: skip
    np.testing.assert_allclose(fitted.dual_gap_, expected, rtol=1e-5, atol=1e-12)


def test_orthogonal_features_shrink_the_singular_values_of_least_squares():
    rng = np.random.default_rng(0)
    X = np.linalg.qr(rng.normal(size=(50, 6)))[0] * np.sqrt(50)
    Y = X @ rng.normal(size=(6, 4)) + rng.normal(size=(50, 4))
    left, values, right = np.linalg.svd(np.linalg.lstsq(X, Y, rcond=None)[0].T, full_matrices=False)
    alpha = values[2]
    fitted = TraceNorm(alpha, fit_intercept=False, tol=1e-14).fit(X, Y)
    expected = (left * np.maximum(values - alpha, 0)) @ right
    np.testing.assert_allclose(fitted.coef_, expected, atol=1e-6)
    assert fitted.rank_ == 2


def test_limits():
    X, Y = wide_problem(missing=0.3)
    largest = TraceNorm().default_grid(Moments.from_arrays(X, Y))[0]
    none, first = (TraceNorm(largest * share, tol=1e-12).fit(X, Y) for share in (1.0, 0.98))
    assert not none.coef_.any()
    assert (none.rank_, first.rank_) == (0, 1)
    X, Y = wide_problem()
    free = TraceNorm(1e-8, tol=1e-12).fit(X, Y)
    np.testing.assert_allclose(free.coef_, LinearRegression().fit(X, Y).coef_, atol=1e-5)


def test_identical_tasks_are_one_task_of_a_smaller_penalty():
    X, Y = wide_problem(q=1)
    four = TraceNorm(0.2, tol=1e-13).fit(X, np.repeat(Y, 4, axis=1))
    # √4 ‖b‖₂ for four losses is half the penalty for each.
    one = TraceNorm(0.1, tol=1e-13).fit(X, Y)
    np.testing.assert_allclose(four.coef_, np.repeat(one.coef_, 4, axis=0), atol=1e-6)
    assert four.rank_ == 1


def low_rank_tables(seed, n=25, q=12, p=15, rank=2):
    rng = np.random.default_rng(seed)
    B = rng.normal(size=(q, rank)) @ rng.normal(size=(rank, p))
    tables = {}
    for t, b in enumerate(B):
        X = rng.normal(size=(n, p))
        tables[f"t{t}"] = (X, X @ b + 5 * t + rng.normal(size=n))
    return B, tables


def test_low_rank_is_recovered_better_than_by_ridge_per_task():
    B, tables = low_rank_tables(0)
    ours, apart = TraceNormCV(n_alphas=15, eps=0.01).fit(tables), TaskRidgeCV().fit(tables)
    assert ((ours.coef_ - B) ** 2).sum() < 0.4 * ((apart.coef_ - B) ** 2).sum()
    strong = TraceNormCV(n_alphas=15, eps=0.01, selection="1se").fit(tables)
    assert ours.rank_ < 12
    assert strong.rank_ <= ours.rank_


def test_positive_coefficients_are_refused():
    X, Y = wide_problem()
    with pytest.raises(SettingError, match="TraceNorm can't take positive=True: singular values"):
        TraceNorm(positive=True).fit(X, Y)


def test_a_warm_start_takes_fewer_rounds():
    X, Y = wide_problem(missing=0.3)
    model = TraceNorm(0.1, tol=1e-9, warm_start=True).fit(X, Y)
    cold = model.n_iter_
    assert model.set_params(alpha=0.1001).fit(X, Y).n_iter_ < cold
