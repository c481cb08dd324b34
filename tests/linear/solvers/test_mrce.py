from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from sklearn.linear_model import Lasso

from polytask.linear.solvers.graphical_lasso import graphical_lasso
from polytask.linear.solvers.missing_labels import IncompleteRows
from polytask.linear.solvers.mrce import (
    Averages,
    CompleteRows,
    mrce,
    mrce_objective,
    one_step_mrce,
    weighted_lasso,
    weighted_lasso_gap,
)


@pytest.fixture(autouse=True)
def _assert_that_objectives_never_increase(monkeypatch):
    monkeypatch.setenv("POLYTASK_DEBUG", "1")


def rows(n=40, p=6, q=4, seed=0, correlation=0.8):
    """Centred X and Y with correlated errors and a few coefficients."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 0.7 * rng.normal(size=(n, 1))
    B = rng.normal(size=(q, p)) * (rng.random((q, p)) < 0.4)
    errors = np.sqrt(correlation) * rng.normal(size=(n, 1)) + np.sqrt(1 - correlation) * rng.normal(
        size=(n, q)
    )
    Y = X @ B.T + errors
    return X - X.mean(axis=0), Y - Y.mean(axis=0)


def averages(X, Y):
    return Averages(X.T @ X / len(X), Y.T @ X / len(X), Y.T @ Y / len(X))


def null(given):
    return np.zeros_like(given.xty), np.diag(1 / np.diag(given.yty))


def literal_objective(X, Y, B, omega, error_penalty, coef_penalty):
    """Rothman, Levina & Zhu's objective, word for word, with B (p, q)."""
    R = Y - X @ B
    off_diagonal = np.abs(omega).sum() - np.abs(np.diag(omega)).sum()
    likelihood = np.trace(R.T @ R @ omega) / len(X) - np.linalg.slogdet(omega)[1]
    return likelihood + error_penalty * off_diagonal + coef_penalty * np.abs(B).sum()


@pytest.mark.parametrize("positive", [False, True])
def test_coefficients_given_the_precision_reach_the_optimum(positive):
    X, Y = rows()
    given = averages(X, Y)
    precision = np.linalg.inv(np.cov(Y.T))
    coef, gap = weighted_lasso(given, precision, 0.3, start=np.zeros((4, 6)), positive=positive, tol=1e-10)
    B = cp.Variable((6, 4), nonneg=positive)
    loss = cp.sum_squares((Y - X @ B) @ np.linalg.cholesky(precision)) / len(X)
    best = cp.Problem(cp.Minimize(loss + 0.3 * cp.sum(cp.abs(B)))).solve(solver="CLARABEL")
    value = np.sum(precision * given.residuals(coef)) + 0.3 * np.abs(coef).sum()
    assert gap <= 1e-10
    np.testing.assert_allclose(value, best, rtol=1e-6)
    assert 0 < np.count_nonzero(coef) < 24


def test_the_gap_bounds_the_distance_to_the_optimum():
    given = averages(*rows())
    precision = np.linalg.inv(given.yty)

    def objective(coef):
        return np.sum(precision * given.residuals(coef)) + 0.2 * np.abs(coef).sum()

    best, _ = weighted_lasso(given, precision, 0.2, start=np.zeros((4, 6)), tol=1e-12)
    for seed in range(5):
        coef = best + 0.1 * np.random.default_rng(seed).normal(size=best.shape)
        above = objective(coef) - objective(best)
        assert weighted_lasso_gap(given, precision, 0.2, coef) >= above > 1e-4


def test_independent_errors_make_it_a_lasso_per_task():
    X, Y = rows()
    precision = np.diag([1.0, 2.0, 0.5, 4.0])
    coef, _ = weighted_lasso(averages(X, Y), precision, 0.4, start=np.zeros((4, 6)), tol=1e-12)
    for t, omega in enumerate(np.diag(precision)):
        expected = Lasso(0.2 / omega, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(X, Y[:, t])
        np.testing.assert_allclose(coef[t], expected.coef_, atol=1e-6)


@pytest.mark.parametrize("penalties", [(0.1, 0.2), (0.02, 0.5), (0.5, 0.05)])
def test_neither_step_can_lower_the_papers_objective(penalties):
    X, Y = rows()
    given = averages(X, Y)
    fitted = mrce(CompleteRows(given), *penalties, start=null(given), tol=1e-9)
    assert np.all(np.diff(fitted.objective) <= 1e-12)
    assert fitted.gap <= 4e-9
    literal = literal_objective(X, Y, fitted.coef.T, fitted.precision, *penalties)
    np.testing.assert_allclose(fitted.objective[-1], literal, rtol=1e-12)
    S = given.residuals(fitted.coef)
    omega = cp.Variable((4, 4), symmetric=True)
    off_diagonal = cp.sum(cp.abs(cp.multiply(1 - np.eye(len(S)), omega)))
    best = cp.Problem(
        cp.Minimize(cp.trace(S @ omega) - cp.log_det(omega) + penalties[0] * off_diagonal)
    ).solve(solver="CLARABEL")
    here = literal - penalties[1] * np.abs(fitted.coef).sum()
    np.testing.assert_allclose(here, best, atol=1e-6)


def test_the_largest_penalty_of_coefficients_leaves_the_graphical_lasso_of_the_targets():
    given = averages(*rows())
    precision = graphical_lasso(given.yty, 0.1, tol=1e-12).precision
    largest = 2 * np.abs(precision @ given.xty).max()
    fitted = mrce(CompleteRows(given), 0.1, 1.001 * largest, start=(null(given)[0], precision), tol=1e-9)
    assert not fitted.coef.any()
    np.testing.assert_allclose(fitted.precision, precision, rtol=1e-4, atol=1e-6)


def test_a_vanishing_penalty_is_least_squares():
    X, Y = rows()
    given = averages(X, Y)
    fitted = mrce(CompleteRows(given), 0.1, 1e-7, start=null(given), tol=1e-10)
    np.testing.assert_allclose(fitted.coef.T, np.linalg.lstsq(X, Y, rcond=None)[0], atol=1e-6)


def test_one_step_is_a_lasso_then_a_precision_then_a_weighted_lasso():
    given = averages(*rows())
    fitted = one_step_mrce(CompleteRows(given), 0.1, 0.3, start=null(given), tol=1e-10)
    first, _ = weighted_lasso(given, null(given)[1], 0.3, start=null(given)[0], tol=1e-11)
    precision = graphical_lasso(given.residuals(first), 0.1, tol=1e-11).precision
    second, _ = weighted_lasso(given, precision, 0.3, start=first, tol=1e-11)
    np.testing.assert_allclose(fitted.precision, precision, atol=1e-5)
    np.testing.assert_allclose(fitted.coef, second, atol=1e-5)
    assert np.all(np.diff(fitted.objective) <= 1e-9)


def test_the_floor_bounds_the_precision_of_a_perfect_fit():
    X, Y = rows(n=5, p=8, q=2)
    given = averages(X, Y)
    fitted = mrce(CompleteRows(given), 0.0, 1e-6, start=null(given), floor=np.array([0.5, 0.25]), tol=1e-7)
    np.testing.assert_allclose(np.diag(np.linalg.inv(fitted.precision)), [0.5, 0.25], rtol=1e-3)


def observed_objective(X, Y, weights, coef, intercept, precision, error_penalty, coef_penalty):
    """Row by row: the deviance of each row's known labels under its own covariance."""
    covariance, total, weight = np.linalg.inv(precision), 0.0, 0.0
    for x, y, w in zip(X, Y, weights):
        known = ~np.isnan(y)
        if known.any() and w > 0:
            error = (y - coef @ x - intercept)[known]
            part = covariance[np.ix_(known, known)]
            total += w * (np.linalg.slogdet(part)[1] + error @ np.linalg.solve(part, error))
            weight += w
    off_diagonal = np.abs(precision).sum() - np.trace(np.abs(precision))
    return total / weight + error_penalty * off_diagonal + coef_penalty * np.abs(coef).sum()


@pytest.fixture
def incomplete():
    X, Y = rows()
    rng = np.random.default_rng(1)
    Y[rng.random(Y.shape) < 0.3] = np.nan
    Y[7] = np.nan
    return X + 3.0, Y - 2.0, rng.uniform(0.5, 2.0, len(X))


def test_missing_labels_are_fitted_by_the_likelihood_of_the_known_ones(incomplete):
    X, Y, weights = incomplete
    data = IncompleteRows.of(X, Y, weights, intercepts=True)
    start = np.zeros((4, 6)), np.eye(4) / np.nanvar(Y, axis=0)
    fitted = mrce(data, 0.1, 0.1, start=start, tol=1e-9, max_iter=2000)
    assert np.all(np.diff(fitted.objective) <= 1e-12)
    assert fitted.gap <= 4e-9
    intercept = data.intercept(fitted.coef, fitted.precision) - fitted.coef @ data.x_mean

    def literal(coef, intercept, precision):
        return observed_objective(X, Y, weights, coef, intercept, precision, 0.1, 0.1)

    best = literal(fitted.coef, intercept, fitted.precision)
    np.testing.assert_allclose(fitted.objective[-1], best, rtol=1e-10)
    rng = np.random.default_rng(2)
    for _ in range(30):
        step = 1e-3 * rng.normal(size=(4, 4))
        assert literal(fitted.coef + 1e-3 * rng.normal(size=(4, 6)), intercept, fitted.precision) > best
        assert literal(fitted.coef, intercept + 1e-2 * rng.normal(size=4), fitted.precision) > best
        assert literal(fitted.coef, intercept, fitted.precision + step + step.T) > best


def test_complete_rows_are_a_special_case_of_incomplete_ones():
    X, Y = rows()
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    root = np.sqrt(weights / weights.sum())[:, None]
    Xc, Yc = X - np.average(X, axis=0, weights=weights), Y - np.average(Y, axis=0, weights=weights)
    Xc, Yc = root * Xc, root * Yc
    given = Averages(Xc.T @ Xc, Yc.T @ Xc, Yc.T @ Yc)
    data = IncompleteRows.of(X, Y, weights, intercepts=True)
    found = data.averages(np.ones((4, 6)), np.eye(4))
    for name in ("gram", "xty"):
        np.testing.assert_allclose(getattr(found, name), getattr(given, name), atol=1e-12)
    one = mrce(data, 0.1, 0.2, start=null(given), tol=1e-9)
    other = mrce(CompleteRows(given), 0.1, 0.2, start=null(given), tol=1e-9)
    np.testing.assert_allclose(one.coef, other.coef, atol=1e-7)
    np.testing.assert_allclose(one.objective[-1], other.objective[-1], rtol=1e-10)


def test_the_objective_is_that_of_the_docstring():
    X, Y = rows()
    given = averages(X, Y)
    coef, precision = np.random.default_rng(0).normal(size=(4, 6)), np.linalg.inv(np.cov(Y.T))
    value = mrce_objective(given, coef, precision, 0.3, 0.7, np.full(4, 0.5))
    literal = literal_objective(X, Y, coef.T, precision, 0.3, 0.7) + 0.5 * np.trace(precision)
    np.testing.assert_allclose(value, literal, rtol=1e-12)
