from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest

from polytask.linear.solvers.graphical_lasso import (
    graphical_gap,
    graphical_lasso,
    graphical_objective,
    largest_graphical_penalty,
    log_det,
)


def covariance(q=6, n=40, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, q)) @ (np.eye(q) + 0.5 * rng.normal(size=(q, q)))
    return rows.T @ rows / n


def optimum(S, alpha):
    """The least objective by an interior-point solver."""
    omega = cp.Variable(S.shape, symmetric=True)
    off_diagonal = cp.sum(cp.abs(cp.multiply(1 - np.eye(len(S)), omega)))
    problem = cp.Problem(cp.Minimize(cp.trace(S @ omega) - cp.log_det(omega) + alpha * off_diagonal))
    return problem.solve(solver="CLARABEL")


@pytest.mark.parametrize("n", [40, 4])
@pytest.mark.parametrize("share", [0.5, 0.05])
def test_reaches_the_optimum_also_where_the_covariance_is_singular(n, share):
    S = covariance(n=n)
    alpha = share * largest_graphical_penalty(S)
    fitted = graphical_lasso(S, alpha, tol=1e-9, max_iter=5000)
    value = graphical_objective(S, fitted.precision, alpha)
    assert fitted.gap <= 1e-9
    np.testing.assert_allclose(value, optimum(S, alpha), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fitted.covariance @ fitted.precision, np.eye(6), atol=1e-8)


def test_the_gap_bounds_the_distance_to_the_optimum():
    S = covariance()
    best = graphical_objective(S, graphical_lasso(S, 0.1, tol=1e-12).precision, 0.1)
    for sweeps in (0, 1, 2, 5):
        early = graphical_lasso(S, 0.1, start=np.diag(1 / np.diag(S)), max_iter=sweeps, tol=0.0)
        above = graphical_objective(S, early.precision, 0.1) - best
        assert early.gap >= above - 1e-12
        assert above > 1e-12 or sweeps == 5


def test_no_sweep_raises_the_objective_from_any_start():
    S = covariance(n=4)
    start = np.linalg.inv(covariance(seed=1))
    values = [
        graphical_objective(S, graphical_lasso(S, 0.05, start=start, max_iter=k, tol=0.0).precision, 0.05)
        for k in range(20)
    ]
    assert np.all(np.diff(values) <= 1e-12)
    assert values[-1] < values[0] - 0.1


def test_without_penalty_it_is_the_inverse_and_with_the_largest_it_is_diagonal():
    S = covariance()
    np.testing.assert_allclose(graphical_lasso(S, 0.0).precision, np.linalg.inv(S), rtol=1e-9)
    largest = largest_graphical_penalty(S)
    start = np.linalg.inv(S)
    at = graphical_lasso(S, largest, start=start, tol=1e-12, max_iter=1000).precision
    np.testing.assert_allclose(at, np.diag(1 / np.diag(S)), atol=1e-6)
    below = graphical_lasso(S, 0.99 * largest).precision
    assert np.count_nonzero(below) == 8


def test_one_task_has_one_variance():
    assert graphical_lasso(np.array([[4.0]]), 0.3).precision.item() == pytest.approx(0.25)
    assert largest_graphical_penalty(np.array([[4.0]])) == 0.0


def test_logarithms_of_determinants():
    S = covariance()
    np.testing.assert_allclose(log_det(S), np.linalg.slogdet(S)[1], rtol=1e-12)
    assert log_det(-S) == -np.inf
    assert graphical_gap(np.eye(2), np.array([[1.0, 0.999], [0.999, 1.0]]), 1e3) == np.inf
