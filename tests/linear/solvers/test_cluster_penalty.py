from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from scipy.optimize import minimize

from polytask.linear.solvers.cluster_penalty import ClusterPenalty, cluster_labels, cluster_levels


def least_penalty(coef, penalty):
    """R(B) by a general solver, over M as a matrix."""
    q = len(coef)
    M = cp.Variable((q, q), symmetric=True)
    inside = cp.matrix_frac(coef, np.eye(q) + penalty.strength * M)
    problem = cp.Problem(cp.Minimize(inside), [M >> 0, np.eye(q) - M >> 0, cp.trace(M) == penalty.n_clusters])
    problem.solve(solver=cp.CLARABEL)
    return penalty.alpha * (1 + penalty.strength) / 2 * problem.value


@pytest.mark.parametrize(
    "penalty", [ClusterPenalty(0.7, 5.0, 2), ClusterPenalty(2.0, 0.3, 1), ClusterPenalty(1.0, 100.0, 3)]
)
def test_the_best_cluster_matrix_is_that_of_a_general_solver(penalty):
    coef = np.random.default_rng(0).normal(size=(5, 4)) * np.array([[3], [1], [1], [0.1], [0.5]])
    np.testing.assert_allclose(penalty.value(coef), least_penalty(coef, penalty), rtol=1e-6)
    M = penalty.cluster_matrix(coef)
    values = np.linalg.eigvalsh(M)
    assert values.min() > -1e-12
    assert values.max() < 1 + 1e-12
    np.testing.assert_allclose(np.trace(M), penalty.n_clusters)
    inside = np.trace(coef.T @ np.linalg.solve(np.eye(5) + penalty.strength * M, coef))
    np.testing.assert_allclose(penalty.alpha * (1 + penalty.strength) / 2 * inside, penalty.value(coef))


@pytest.mark.parametrize(
    ("values", "k", "expected"),
    [
        ([3.0, 3.0, 0.0, 0.0], 2, [1, 1, 0, 0]),
        ([3.0, 0.0, 0.0, 0.0], 3, [1, 2 / 3, 2 / 3, 2 / 3]),
        ([0.0, 0.0], 1, [0.5, 0.5]),
        ([2.0, 2.0, 2.0], 1, [1 / 3, 1 / 3, 1 / 3]),
        ([100.0, 1.0], 1, [1, 0]),
        ([2.0, 1.0], 2, [1, 1]),
    ],
)
def test_levels_of_easy_cases(values, k, expected):
    np.testing.assert_allclose(cluster_levels(np.array(values), 4.0, k), expected, atol=1e-12)


def test_the_conjugate_is_reached_and_bounds_every_inner_product():
    penalty, rng = ClusterPenalty(0.7, 5.0, 2), np.random.default_rng(0)
    slope = rng.normal(size=(4, 6))
    best = minimize(
        lambda b: penalty.value(b.reshape(4, 6)) - b @ slope.ravel(), rng.normal(size=24), method="BFGS",
        options={"gtol": 1e-8},
    )  # fmt: skip
    np.testing.assert_allclose(penalty.conjugate(slope), -best.fun, rtol=1e-7)
    for coef in rng.normal(size=(20, 4, 6)):
        assert np.vdot(coef, slope) - penalty.value(coef) <= penalty.conjugate(slope)
        assert penalty.gap(coef, slope) >= 0


def test_labels_tell_directions_apart():
    rng = np.random.default_rng(0)
    labels = np.array([0, 1, 0, 2, 1, 2, 0, 1])
    coef = rng.normal(size=(3, 6))[labels] * rng.uniform(0.5, 2, (8, 1)) + 0.01 * rng.normal(size=(8, 6))
    np.testing.assert_array_equal(cluster_labels(coef, 3), labels)
    assert not cluster_labels(coef, 1).any()
