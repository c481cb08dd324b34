from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from problems import wide_problem
from sklearn.linear_model import Ridge

from polytask.data import TaskData
from polytask.errors import PolytaskWarning, SettingError
from polytask.linear import TaskRidge
from polytask.linear.estimators.mtrl import MTRL, MTRLCV
from polytask.linear.moments import Moments

precise = {"tol": 1e-12}


def related_tasks(correlation, n_tasks=8, n=15, p=10, seed=0):
    """Tasks whose coefficients have a given correlation across tasks (n_tasks, n_tasks)."""
    rng = np.random.default_rng(seed)
    coef = np.linalg.cholesky(correlation + 1e-9 * np.eye(n_tasks)) @ rng.normal(size=(n_tasks, p))
    tables = {}
    for t in range(n_tasks):
        X = rng.normal(size=(n, p))
        tables[f"t{t}"] = (X, X @ coef[t] + 2 * t + 1.5 * rng.normal(size=n))
    return TaskData.from_dict(tables), coef


def opposite_groups(n_tasks=8, strength=0.95):
    """Two groups of tasks, alike within and opposite between."""
    sign = np.where(np.arange(n_tasks) < n_tasks // 2, 1.0, -1.0)
    return strength * np.outer(sign, sign) + (1 - strength) * np.eye(n_tasks)


@pytest.mark.parametrize("sharing", [0.4, 1.0])
@pytest.mark.parametrize("scaled", [False, True])
def test_minimises_the_documented_objective_with_missing_labels_and_weights(sharing, scaled):
    X, Y = wide_problem(n=25, p=4, missing=0.3)
    if scaled:
        Y = Y * [1.0, 10.0, 100.0]
    w = np.random.default_rng(0).uniform(0.5, 2, 25)
    alpha, known = 3.0, ~np.isnan(Y)
    A, b = cp.Variable((3, 4)), cp.Variable(3)
    loss = sum(
        cp.sum(cp.multiply(w[k], cp.square(Y[k, t] - X[k] @ A[t] - b[t]))) for t, k in enumerate(known.T)
    )
    penalty = alpha * ((1 - sharing) * cp.sum_squares(A) + sharing / 3 * cp.square(cp.norm(A, "nuc")))
    best = cp.Problem(cp.Minimize(loss + penalty)).solve(solver="CLARABEL")
    fitted = MTRL(alpha, sharing, **precise).fit(X, Y, sample_weight=w)
    residual = np.where(known, Y - X @ fitted.coef_.T - fitted.intercept_, 0.0)
    trace_norm = np.linalg.svd(fitted.coef_, compute_uv=False).sum()
    found = (w[:, None] * residual**2).sum() + alpha * (
        (1 - sharing) * np.sum(fitted.coef_**2) + sharing / 3 * trace_norm**2
    )
    assert found == pytest.approx(best, rel=1e-6)


def test_the_covariance_is_the_papers_closed_form():
    X, Y = wide_problem(missing=0.2)
    fitted = MTRL(2.0, 0.7, **precise).fit(X, Y)
    square = fitted.task_covariance_ @ fitted.task_covariance_
    A = fitted.coef_.T
    np.testing.assert_allclose(square / np.trace(square), A.T @ A / np.trace(A.T @ A), atol=1e-9)
    assert np.trace(fitted.task_covariance_) == pytest.approx(1.0)
    np.testing.assert_allclose(np.diag(fitted.task_correlation_), 1.0)


def test_no_sharing_is_ridge_per_task_and_the_limit_is_smooth():
    X, Y = wide_problem(missing=0.3)
    ridge = TaskRidge(2.0).fit(X, Y)
    np.testing.assert_allclose(MTRL(2.0, 0.0).fit(X, Y).coef_, ridge.coef_, atol=1e-10)
    np.testing.assert_allclose(MTRL(2.0, 1e-9, **precise).fit(X, Y).coef_, ridge.coef_, atol=1e-6)


def test_no_penalty_is_least_squares():
    X, Y = wide_problem()
    np.testing.assert_allclose(MTRL(0.0, 0.5).fit(X, Y).coef_, TaskRidge(0.0).fit(X, Y).coef_, atol=1e-9)


@pytest.mark.parametrize("sharing", [0.0, 0.6, 1.0])
def test_one_task_is_ridge_at_any_sharing(sharing):
    X, Y = wide_problem(q=1)
    fitted = MTRL(3.0, sharing, tol=1e-14).fit(X, Y[:, 0])
    np.testing.assert_allclose(fitted.coef_, Ridge(3.0).fit(X, Y[:, 0]).coef_, atol=1e-6)
    np.testing.assert_allclose(fitted.task_covariance_, [[1.0]])


def test_identical_tasks_share_everything_at_full_sharing():
    X, Y = wide_problem(q=1)
    fitted = MTRL(3.0, 1.0, tol=1e-14).fit(X, np.repeat(Y, 4, axis=1))
    pooled = Ridge(3.0).fit(np.tile(X, (4, 1)), np.tile(Y[:, 0], 4))
    np.testing.assert_allclose(fitted.coef_, np.tile(pooled.coef_, (4, 1)), atol=1e-6)
    np.testing.assert_allclose(fitted.task_correlation_, np.ones((4, 4)), atol=1e-6)


def test_a_strong_penalty_leaves_the_means():
    X, Y = wide_problem(missing=0.2)
    fitted = MTRL(1e9, 0.5).fit(X, Y)
    np.testing.assert_allclose(fitted.coef_, 0.0, atol=1e-5)
    np.testing.assert_allclose(fitted.intercept_, np.nanmean(Y, axis=0), atol=1e-4)


def test_more_features_than_rows_is_the_same_problem():
    X, Y = wide_problem(n=12, p=30)
    kept = MTRL(2.0, 0.8, **precise).fit(X, Y)
    # Moments don't know the rows, so this is solved in all features.
    again = MTRL(2.0, 0.8, **precise).fit(Moments.from_arrays(X, Y))
    np.testing.assert_allclose(kept.coef_, again.coef_, atol=1e-6)
    np.testing.assert_allclose(kept.task_covariance_, again.task_covariance_, atol=1e-6)


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_other_losses_are_at_a_stationary_point_with_their_covariance(loss):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, 4))
    Z = X @ rng.normal(size=(4, 3)) * 0.7
    Y = rng.poisson(np.exp(Z)) if loss == "poisson" else rng.random((60, 3)) < 1 / (1 + np.exp(-Z))
    Y = Y.astype(float)
    Y[rng.random(Y.shape) < 0.2] = np.nan
    alpha, sharing = 2.0, 0.6
    fitted = MTRL(alpha, sharing, loss=loss, **precise).fit(X, Y)
    z = X @ fitted.coef_.T + fitted.intercept_
    mean = np.exp(z) if loss == "poisson" else 1 / (1 + np.exp(-z))
    residual = np.where(np.isnan(Y), 0.0, Y - mean)
    precision = np.linalg.inv(fitted.task_covariance_)
    pulled = alpha * ((1 - sharing) * fitted.coef_ + sharing / 3 * precision @ fitted.coef_)
    np.testing.assert_allclose(residual.T @ X, pulled, atol=1e-4)
    np.testing.assert_allclose(residual.sum(axis=0), 0.0, atol=1e-5)


def test_unpenalised_features_have_no_part_in_the_covariance():
    X, Y = wide_problem(n=40, p=5)
    factors = np.array([0.0, 1, 1, 1, 1])
    fitted = MTRL(1e8, 0.5, penalty_factors=factors).fit(X, Y)
    alone = TaskRidge(0.0).fit(X[:, :1], Y)
    np.testing.assert_allclose(fitted.coef_[:, :1], alone.coef_, atol=1e-4)
    classes = (np.nan_to_num(Y) > np.median(Y, axis=0)).astype(float)
    fitted = MTRL(1e8, 0.5, loss="logistic", penalty_factors=factors, tol=1e-10).fit(X, classes)
    assert np.abs(fitted.coef_[:, 0]).min() > 1e-3
    np.testing.assert_allclose(fitted.coef_[:, 1:], 0, atol=1e-5)
    assert fitted.residual_ >= 0


def test_it_learns_which_tasks_are_alike_and_which_opposite():
    truth = opposite_groups()
    data, _ = related_tasks(truth, n=60, p=30)
    found = MTRLCV(sharings=[0.8, 1.0], n_alphas=8).fit(data).task_correlation_
    apart = ~np.eye(8, dtype=bool)
    assert np.all(np.sign(found[apart]) == np.sign(truth[apart]))
    assert np.abs(found[apart]).mean() > 0.7


def test_it_beats_ridge_where_tasks_are_opposite_and_costs_little_where_they_are_unrelated():
    def error(correlation, sharings=(0.0, 1.0)):
        total = 0.0
        for seed in range(4):
            data, coef = related_tasks(correlation, seed=seed)
            total += np.sum((MTRLCV(n_alphas=7, sharings=sharings, tol=1e-3).fit(data).coef_ - coef) ** 2)
        return total

    assert error(opposite_groups()) < 0.6 * error(opposite_groups(), sharings=[0.0])
    assert error(np.eye(8)) < 1.15 * error(np.eye(8), sharings=[0.0])


def test_the_chosen_pair_has_the_least_error_on_refitted_folds():
    X, Y = wide_problem(n=40, missing=0.2)
    folds = [(np.arange(20, 40), np.arange(20)), (np.arange(20), np.arange(20, 40))]
    chosen = MTRLCV(alphas=[1.0, 30.0], sharings=[0.0, 0.6, 1.0], cv=folds, tol=1e-9).fit(X, Y)
    totals = {}
    for alpha, sharing in chosen.grid_:
        totals[alpha, sharing] = sum(
            np.nansum(
                (Y[test] - MTRL(alpha, sharing, tol=1e-9).fit(X[train], Y[train]).predict(X[test])) ** 2
            )
            for train, test in folds
        )
    assert min(totals, key=totals.get) == (chosen.alpha_, chosen.sharing_)


def test_not_converging_warns_with_the_gap_that_was_reached():
    X, Y = wide_problem(n=12, p=8, q=6)
    with pytest.warns(PolytaskWarning, match=r"duality gap of \d.*above tol=1e-12"):
        MTRL(1e-3, 1.0, tol=1e-12, max_iter=1).fit(X, Y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sharing": 1.2}, "sharing must lie between 0"),
        ({"alpha": -1.0}, "alpha must be"),
        ({"positive": True}, "singular values"),
        ({"loss": "hinge"}, "loss must be one of"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(SettingError, match=message):
        MTRL(**settings).fit(*wide_problem())


def test_other_losses_need_a_penalty():
    X, Y = wide_problem()
    with pytest.raises(SettingError, match="alpha must be positive"):
        MTRL(0.0, loss="logistic").fit(X, (Y.mean(axis=0) < Y).astype(float))
