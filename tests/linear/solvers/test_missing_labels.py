from __future__ import annotations

import numpy as np

from polytask.linear.solvers.missing_labels import IncompleteRows, Regression


def covariance(q=4, seed=0):
    root = np.random.default_rng(seed).normal(size=(q, q))
    return root @ root.T + 0.5 * np.eye(q)


def test_regression_on_known_errors_is_the_conditional_normal():
    sigma, known = covariance(), np.array([1, 3])
    rows = np.random.default_rng(0).multivariate_normal(np.zeros(4), sigma, 200_000)
    found = Regression.of(sigma, known)
    np.testing.assert_allclose(found.slope[known], np.eye(2), atol=1e-12)
    fitted = np.linalg.lstsq(rows[:, known], rows, rcond=None)[0].T
    np.testing.assert_allclose(found.slope, fitted, atol=0.03)
    np.testing.assert_allclose(found.left, np.cov((rows - rows[:, known] @ found.slope.T).T), atol=0.05)
    np.testing.assert_allclose(found.log_det, np.linalg.slogdet(found.precision)[1])
    # Σ_oo⁻¹ is the precision of all errors once the missing ones are at their expectation.
    precision = np.linalg.inv(sigma)
    np.testing.assert_allclose(found.slope.T @ precision @ found.slope, found.precision, atol=1e-9)


def test_rows_without_labels_or_weight_are_left_out_and_the_rest_grouped():
    X = np.arange(12.0).reshape(6, 2)
    Y = np.array([[1, 2], [np.nan, 3], [4, np.nan], [np.nan, np.nan], [5, 6], [7, 8]])
    rows = IncompleteRows.of(X, Y, np.array([1.0, 2, 1, 1, 1, 0]), intercepts=True)
    assert rows.weight == 5.0
    known = {tuple(pattern.tasks): pattern.rows.tolist() for pattern in rows.patterns}
    assert known == {(0, 1): [0, 3], (1,): [1], (0,): [2]}
    np.testing.assert_allclose(rows.weights @ rows.X, 0.0, atol=1e-12)
    np.testing.assert_allclose(rows.X + rows.x_mean, X[[0, 1, 2, 4]])


def test_intercepts_leave_weighted_errors_that_sum_to_zero():
    rng = np.random.default_rng(0)
    X, Y, weights = rng.normal(size=(30, 3)), rng.normal(size=(30, 4)) + 5, rng.uniform(0.5, 2, 30)
    Y[rng.random(Y.shape) < 0.4] = np.nan
    rows = IncompleteRows.of(X, Y, weights, intercepts=True)
    coef, precision = rng.normal(size=(4, 3)), np.linalg.inv(covariance())
    intercept, slope = rows.intercept(coef, precision), np.zeros(4)
    for (index, tasks), known in rows.parts(precision):
        errors = rows.Y[np.ix_(index, tasks)] - rows.X[index] @ coef[tasks].T - intercept[tasks]
        slope[tasks] += known.precision @ (rows.weights[index] @ errors)
    np.testing.assert_allclose(slope, 0.0, atol=1e-10)
    none = IncompleteRows.of(X, Y, weights, intercepts=False)
    assert not none.intercept(coef, precision).any()


def test_a_task_without_labels_has_no_intercept():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(10, 2)), rng.normal(size=(10, 3)) + 1
    Y[:, 1] = np.nan
    rows = IncompleteRows.of(X, Y, np.ones(10), intercepts=True)
    intercept = rows.intercept(np.zeros((3, 2)), np.eye(3))
    np.testing.assert_allclose(intercept, [Y[:, 0].mean(), 0.0, Y[:, 2].mean()], atol=1e-12)
