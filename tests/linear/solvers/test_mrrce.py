from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from polytask.linear.solvers.missing_labels import IncompleteRows
from polytask.linear.solvers.mrrce import (
    LARGEST_SIMILARITY,
    RandomEffects,
    RotatedMoments,
    effects_of,
    equicorrelated,
    mrrce,
)
from polytask.linear.solvers.mrrce_missing import IncompleteMrRCE


@pytest.fixture(autouse=True)
def _assert_that_objectives_never_increase(monkeypatch):
    monkeypatch.setenv("POLYTASK_DEBUG", "1")


def rows(n=15, p=4, q=3, similarity=0.6, sigma=1.0, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 0.5 * rng.normal(size=(n, 1))
    B = rng.multivariate_normal(np.zeros(q), sigma**2 * ((1 - similarity) * np.eye(q) + similarity), p)
    errors = rng.normal(size=(n, q)) @ np.linalg.cholesky(0.4 * np.eye(q) + 0.6).T
    return X, X @ B + errors


PARAMETERS = RandomEffects(
    0.7, 0.3, np.linalg.inv(np.array([[1.0, 0.5, 0.1], [0.5, 2.0, 0.2], [0.1, 0.2, 0.5]]))
)


def data_of(X, Y):
    return RotatedMoments.of(X.T @ X, Y.T @ X, Y.T @ Y, float(len(X)))


class Literal:
    """Everything by the (nq, nq) covariance of vec(Y), tasks stacked, of the known labels."""

    def __init__(self, X, Y, parameters, intercept=0.0):
        n, self.q, self.p = len(X), Y.shape[1], X.shape[1]
        effects = parameters.task_covariance()
        noise = np.linalg.inv(parameters.precision)
        known = ~np.isnan(Y).T.ravel()
        covariance = np.kron(effects, X @ X.T) + np.kron(noise, np.eye(n))
        y = (Y - intercept).T.ravel()[known]
        self.deviance = -2 * multivariate_normal.logpdf(y, np.zeros(len(y)), covariance[np.ix_(known, known)])
        through = np.kron(effects, X.T)[:, known] @ np.linalg.inv(covariance[np.ix_(known, known)])
        self.mean = through @ y
        self.spread = np.kron(effects, np.eye(self.p)) - through @ np.kron(effects, X)[known]
        self.coef = self.mean.reshape(self.q, self.p)
        # Errors of all labels, missing ones included, given the known ones.
        joint = np.kron(noise, np.eye(n))[:, known] @ np.linalg.inv(covariance[np.ix_(known, known)])
        errors = (joint @ y).reshape(self.q, n)
        left = np.kron(noise, np.eye(n)) - joint @ np.kron(noise, np.eye(n))[known]
        self.residuals = errors @ errors.T + np.einsum("tisi->ts", left.reshape(self.q, n, self.q, n))
        self.coefs = self.coef @ self.coef.T + np.einsum(
            "tjsj->ts", self.spread.reshape(self.q, self.p, self.q, self.p)
        )


def test_expectations_equal_those_of_the_large_covariance():
    X, Y = rows()
    given, literal = data_of(X, Y).expectations(PARAMETERS), Literal(X, Y, PARAMETERS)
    np.testing.assert_allclose(given.deviance, literal.deviance, rtol=1e-12)
    np.testing.assert_allclose(given.coef, literal.coef, atol=1e-12)
    np.testing.assert_allclose(given.coefs, literal.coefs, atol=1e-12)


def test_residuals_are_those_of_stretched_coefficients():
    X, Y = rows()
    given, literal = data_of(X, Y).expectations(PARAMETERS), Literal(X, Y, PARAMETERS)
    gram = X.T @ X
    spread = literal.spread.reshape(3, 4, 3, 4)

    def squares(stretch):
        error = Y - stretch * X @ literal.coef.T
        return error.T @ error + stretch**2 * np.einsum("tjsl,jl->ts", spread, gram)

    np.testing.assert_allclose(squares(1.0), literal.residuals, atol=1e-10)
    np.testing.assert_allclose(given.residuals, squares(given.stretch), atol=1e-10)
    weighted = [np.trace(PARAMETERS.precision @ squares(given.stretch + step)) for step in (-1e-3, 0, 1e-3)]
    assert weighted[1] < min(weighted[0], weighted[2])


@pytest.mark.parametrize("intercepts", [True, False])
def test_expectations_with_missing_labels_equal_those_of_the_large_covariance(intercepts):
    X, Y = rows(seed=1)
    Y[np.random.default_rng(0).random(Y.shape) < 0.3] = np.nan
    Y += 5.0 * intercepts
    data = IncompleteMrRCE(IncompleteRows.of(X, Y, np.ones(15), intercepts=intercepts))
    used = ~np.isnan(Y).all(axis=1)
    X, Y = X[used] - data.rows.x_mean, Y[used]
    intercept = data.intercept(PARAMETERS)
    given, literal = data.expectations(PARAMETERS), Literal(X, Y, PARAMETERS, intercept)
    np.testing.assert_allclose(given.deviance, literal.deviance, rtol=1e-11)
    np.testing.assert_allclose(given.coef, literal.coef, atol=1e-11)
    np.testing.assert_allclose(given.coefs, literal.coefs, atol=1e-11)
    np.testing.assert_allclose(given.residuals, literal.residuals, atol=1e-10)
    if intercepts:
        for step in np.vstack([np.eye(3), -np.eye(3)]) * 1e-2:
            assert Literal(X, Y, PARAMETERS, intercept + step).deviance > literal.deviance
    else:
        assert not intercept.any()


def test_the_maximiser_is_where_the_likelihood_has_no_slope():
    X, Y = rows(n=40)
    fitted = mrrce(data_of(X, Y), 0.0, tol=1e-10)
    assert np.all(np.diff(fitted.objective) <= 1e-10)
    best = fitted.parameters
    assert 0 < best.similarity < 1

    def deviance(variance, similarity, precision):
        return Literal(X, Y, RandomEffects(variance, similarity, precision)).deviance

    at = deviance(*best)
    np.testing.assert_allclose(at / 40, fitted.objective[-1], rtol=1e-10)
    for step in (-0.01, 0.01):
        assert deviance(best.variance * (1 + step), best.similarity, best.precision) > at
        assert deviance(best.variance, best.similarity + step, best.precision) > at
        for i in range(3):
            for j in range(i + 1):
                moved = best.precision.copy()
                moved[i, j] = moved[j, i] = moved[i, j] + step * np.sqrt(moved[i, i] * moved[j, j])
                assert deviance(best.variance, best.similarity, moved) > at


@pytest.mark.parametrize("alpha", [0.0, 0.1, 1.0])
def test_missing_no_label_is_the_complete_fit(alpha):
    X, Y = rows(n=30)
    weights = np.random.default_rng(0).integers(1, 4, 30).astype(float)
    data = IncompleteMrRCE(IncompleteRows.of(X, Y, weights, intercepts=True))
    Xc, Yc = X - np.average(X, axis=0, weights=weights), Y - np.average(Y, axis=0, weights=weights)
    root = np.sqrt(weights)[:, None]
    complete = RotatedMoments.of(
        (root * Xc).T @ (root * Xc), (root * Yc).T @ (root * Xc), (root * Yc).T @ (root * Yc), weights.sum()
    )
    one, other = mrrce(data, alpha, tol=1e-9), mrrce(complete, alpha, tol=1e-9)
    np.testing.assert_allclose(one.coef, other.coef, atol=1e-6)
    np.testing.assert_allclose(one.objective[-1], other.objective[-1], rtol=1e-9)


def test_missing_labels_never_raise_the_objective():
    X, Y = rows(n=30)
    Y[np.random.default_rng(0).random(Y.shape) < 0.4] = np.nan
    data = IncompleteMrRCE(IncompleteRows.of(X, Y, np.ones(30), intercepts=True))
    fitted = mrrce(data, 0.05, tol=1e-7)
    assert np.all(np.diff(fitted.objective) <= 1e-11)
    assert fitted.change <= 1e-7


def test_a_strong_penalty_makes_the_precision_diagonal_in_its_basis():
    X, Y = rows(n=40)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    plain = mrrce(data_of(X, Y), 100.0, tol=1e-8).parameters.precision
    np.testing.assert_allclose(plain, np.diag(np.diag(plain)), atol=1e-12)
    rotated = basis.T @ mrrce(data_of(X, Y), 100.0, basis=basis, tol=1e-8).parameters.precision @ basis
    np.testing.assert_allclose(rotated, np.diag(np.diag(rotated)), atol=1e-12)
    assert np.ptp(np.diag(rotated)) > 0.1


def test_variance_and_similarity_maximise_the_likelihood_of_the_coefficients():
    rng = np.random.default_rng(0)
    B = rng.multivariate_normal(np.zeros(4), 0.5 * np.eye(4) + 0.5, 50)
    variance, similarity = equicorrelated(B.T @ B, 50)

    def likelihood(variance, similarity):
        covariance = RandomEffects(variance, similarity, np.eye(4)).task_covariance()
        return multivariate_normal.logpdf(B, np.zeros(4), covariance).sum()

    best = likelihood(variance, similarity)
    for step in (-0.01, 0.01):
        assert likelihood(variance + step, similarity) < best
        assert likelihood(variance, similarity + step) < best


def test_similarity_stays_within_its_bounds():
    opposite = np.array([[1.0, -0.5], [-0.5, 1.0]])
    assert equicorrelated(opposite, 2) == (0.5, 0.0)
    assert equicorrelated(np.ones((2, 2)), 2) == (0.5, LARGEST_SIMILARITY)
    assert equicorrelated(np.array([[3.0]]), 2) == (1.5, 0.0)
    assert equicorrelated(np.zeros((2, 2)), 2) == (0.0, 0.0)


def test_parameters_of_given_coefficients():
    X, Y = rows(n=40)
    coef = np.linalg.lstsq(X, Y, rcond=None)[0].T
    start = effects_of(coef, data_of(X, Y))
    assert start[:2] == equicorrelated(coef @ coef.T, 4)
    errors = Y - X @ coef.T
    np.testing.assert_allclose(np.linalg.inv(start.precision), errors.T @ errors / 40, rtol=0.02, atol=0.02)
    incomplete = IncompleteMrRCE(IncompleteRows.of(X, Y, np.ones(40), intercepts=False))
    np.testing.assert_allclose(effects_of(coef, incomplete).precision, start.precision, rtol=1e-8)
    faded = effects_of(np.zeros((3, 4)), data_of(X, Y))
    assert faded.variance == 0


def test_coefficients_fade_quickly_where_there_is_no_signal():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(60, 4)), np.zeros((60, 3))
    Y = rng.normal(size=(60, 3))
    Y -= X @ np.linalg.lstsq(X, Y, rcond=None)[0]
    fitted = mrrce(data_of(X, Y), 0.0, tol=1e-9, max_iter=500)
    assert fitted.change <= 1e-9
    assert np.abs(fitted.coef).max() < 1e-8


def test_one_task_is_ridge_with_the_penalty_of_greatest_likelihood():
    X, Y = rows(n=40, q=1)
    fitted = mrrce(data_of(X, Y), 0.0, tol=1e-10)
    penalty = 1 / (fitted.parameters.precision.item() * fitted.parameters.variance)
    ridge = np.linalg.solve(X.T @ X + penalty * np.eye(4), X.T @ Y)
    np.testing.assert_allclose(fitted.coef, ridge.T, atol=1e-10)
    assert fitted.parameters.similarity == 0.0
