from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest

from polytask.linear.estimators.task_graph import task_graph
from polytask.linear.penalties.fused import Fused

NAMES = tuple("abcde")
GRAPHS = {
    "chain": "chain",
    "complete": "complete",
    "two parts": [("a", "b", 0.5), ("d", "e", 2.0), ("c", "d")],
}
graphs = pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)


def omega(B, weights, sparsity, factors):
    """Ω from its definition, for numbers and for cvxpy's variables."""
    rows = range(len(NAMES))
    differences = sum(
        weights[s, t] * (cp.abs(B[s] - B[t]) @ factors)
        for s in rows
        for t in rows
        if s < t and weights[s, t] > 0
    )
    return sparsity * cp.sum(cp.abs(B) @ factors) + differences


@graphs
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("sparsity", [0.0, 0.3])
def test_the_map_is_the_optimum_of_a_general_solver(graph, positive, sparsity):
    weights, factors = 0.2 * task_graph(graph, NAMES), np.array([1.0, 0.5, 0.0])
    coef = np.random.default_rng(0).normal(size=(5, 3))
    penalty = Fused(sparsity, weights, factors, positive)
    ours = penalty.prox(coef, 1.3)
    B = cp.Variable((5, 3))
    value = cp.sum_squares(B - coef) / 2 + 1.3 * omega(B, weights, sparsity, factors)
    problem = cp.Problem(cp.Minimize(value), [B >= 0] if positive else [])
    problem.solve(solver=cp.CLARABEL)
    np.testing.assert_allclose(ours, B.value, atol=1e-4)
    np.testing.assert_allclose(penalty.value(ours), omega(ours, weights, sparsity, factors).value)
    assert ((ours - coef) ** 2).sum() / 2 + 1.3 * penalty.value(ours) <= problem.value + 1e-6


@graphs
@pytest.mark.parametrize("positive", [False, True])
def test_the_dual_norm_is_the_optimum_of_a_general_solver(graph, positive):
    weights, factors = 0.7 * task_graph(graph, NAMES), np.array([1.0, 0.5, 2.0])
    slope = np.random.default_rng(1).normal(size=(5, 3))
    penalty = Fused(0.2, weights, factors, positive)
    B = cp.Variable((5, 3))
    constraints = [omega(B, weights, 0.2, factors) <= 1] + ([B >= 0] if positive else [])
    problem = cp.Problem(cp.Maximize(cp.sum(cp.multiply(slope, B))), constraints)
    problem.solve(solver=cp.CLARABEL)
    np.testing.assert_allclose(penalty.dual_norm(slope), problem.value, rtol=1e-6)
    # At the dual norm the map is zero, and just below it is not.
    norm = penalty.dual_norm(slope)
    assert not penalty.prox(slope, norm).any()
    assert penalty.prox(slope, norm * (1 - 1e-6)).any()


def test_the_dual_norm_of_no_slope_is_zero():
    assert Fused(0.2, task_graph("chain", NAMES), np.ones(3)).dual_norm(np.zeros((5, 3))) == 0
    assert Fused(0.2, task_graph("chain", NAMES), np.ones(3), True).dual_norm(-np.ones((5, 3))) == 0


def test_without_sparsity_or_with_unpenalised_features_there_is_no_dual_norm():
    weights = task_graph("chain", NAMES)
    assert Fused(0.0, weights, np.ones(3)).dual_norm(np.ones((5, 3))) is None
    assert Fused(0.2, weights, np.array([1.0, 0, 1])).dual_norm(np.ones((5, 3))) is None
