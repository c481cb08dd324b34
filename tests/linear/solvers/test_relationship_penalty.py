from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest

from polytask.linear.solvers.relationship_penalty import RelationshipPenalty, correlation, task_covariance

PENALTIES = [RelationshipPenalty(0.7, 0.3), RelationshipPenalty(0.0, 0.4), RelationshipPenalty(0.9, 0.0)]


def singular_values(table):
    return np.linalg.svd(table, compute_uv=False)


def penalty_of(variable, penalty):
    trace_norm = cp.norm(variable, "nuc")
    return penalty.ridge / 2 * cp.sum_squares(variable) + penalty.coupling / 2 * cp.square(trace_norm)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("shape", [(3, 4), (5, 2)])
def test_prox_and_value_against_cvxpy(penalty, shape):
    C = np.random.default_rng(0).normal(size=shape)
    B = cp.Variable(shape)
    problem = cp.Problem(cp.Minimize(penalty_of(B, penalty) + 1.7 / 2 * cp.sum_squares(B - C)))
    best = problem.solve(solver="CLARABEL")
    left, values, right = penalty.prox(C, 1.7)
    found = (left * values) @ right
    assert penalty.value(values) + 1.7 / 2 * np.sum((found - C) ** 2) == pytest.approx(best, rel=1e-7)
    np.testing.assert_allclose(found, B.value, atol=1e-4)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_conjugate_is_the_largest_difference(penalty):
    G = np.random.default_rng(1).normal(size=(3, 4))
    C = cp.Variable(G.shape)
    best = cp.Problem(cp.Maximize(cp.trace(G.T @ C) - penalty_of(C, penalty))).solve(solver="CLARABEL")
    assert penalty.conjugate(singular_values(G)) == pytest.approx(best, rel=1e-6)


def test_no_covariance_of_trace_one_does_better_than_the_square_root():
    rng = np.random.default_rng(2)
    C = rng.normal(size=(4, 6))
    best = task_covariance(C)
    assert np.trace(best) == pytest.approx(1.0)
    value = np.trace(C.T @ np.linalg.solve(best, C))
    assert value == pytest.approx(2 * RelationshipPenalty(0.0, 1.0).value(singular_values(C)))
    for _ in range(20):
        root = np.linalg.cholesky(best) + 0.05 * rng.normal(size=(4, 4))
        other = root @ root.T / np.trace(root @ root.T)
        assert np.trace(C.T @ np.linalg.solve(other, C)) > value


def test_the_covariance_of_the_features_reaches_the_same_value():
    C = np.random.default_rng(3).normal(size=(3, 5))
    features = task_covariance(C.T)
    value = np.trace(C @ np.linalg.pinv(features, hermitian=True) @ C.T)
    assert value == pytest.approx(np.trace(C.T @ np.linalg.solve(task_covariance(C), C)))


def test_covariance_of_identical_opposite_and_zero_tasks():
    row = np.array([1.0, 2.0, -1.0])
    found = task_covariance(np.stack([row, -row, 0 * row]))
    np.testing.assert_allclose(found, [[0.5, -0.5, 0], [-0.5, 0.5, 0], [0, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(correlation(found), [[1, -1, 0], [-1, 1, 0], [0, 0, 1]], atol=1e-7)
    np.testing.assert_allclose(task_covariance(np.zeros((4, 2))), np.eye(4) / 4)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_prior_is_the_inverse_of_the_penalty_on_its_range(penalty):
    C = np.random.default_rng(4).normal(size=(4, 6))
    covariance = task_covariance(C)
    expected = np.linalg.inv(penalty.ridge * np.eye(4) + penalty.coupling * np.linalg.inv(covariance))
    np.testing.assert_allclose(penalty.prior(covariance), expected, rtol=1e-9)
    left, values, _ = np.linalg.svd(C, full_matrices=False)
    np.testing.assert_allclose((left * penalty.variances(values)) @ left.T, expected, atol=1e-12)


def test_prior_of_a_singular_covariance_is_the_limit_of_regular_ones():
    penalty = RelationshipPenalty(0.5, 0.2)
    singular = np.array([[0.5, -0.5], [-0.5, 0.5]])
    close = penalty.prior(0.999999999 * singular + 1e-9 * np.eye(2) / 2)
    np.testing.assert_allclose(penalty.prior(singular), close, atol=1e-7)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_gap_bounds_the_distance_to_the_minimum_and_vanishes_there(penalty):
    rng = np.random.default_rng(5)
    Y = rng.normal(size=(3, 4))
    # ½‖Y − C‖² + R(C) has its minimum at the prox of Y.
    left, values, right = penalty.prox(Y, 1.0)
    best = (left * values) @ right
    least = np.sum((Y - best) ** 2) / 2 + penalty.value(values)
    assert penalty.gap(best, Y - best) == pytest.approx(0.0, abs=1e-12)
    for _ in range(5):
        C = best + 0.3 * rng.normal(size=best.shape)
        excess = np.sum((Y - C) ** 2) / 2 + penalty.value(singular_values(C)) - least
        assert penalty.gap(C, Y - C) >= excess > 0
