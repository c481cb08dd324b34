from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest

from polytask.linear.penalties.total_variation import chain_prox, graph_prox


def random_graph(n, density, seed=0):
    rng = np.random.default_rng(seed)
    weights = np.triu(rng.uniform(0.1, 1, (n, n)) * (rng.random((n, n)) < density), 1)
    return weights + weights.T


def chain(weights):
    return np.diag(weights, 1) + np.diag(weights, -1)


def by_a_general_solver(v, weights):
    u = cp.Variable(len(v))
    variation = sum(weights[s, t] * cp.abs(u[s] - u[t]) for s, t in np.argwhere(np.triu(weights) > 0))
    cp.Problem(cp.Minimize(cp.sum_squares(u - v) / 2 + variation)).solve(solver=cp.CLARABEL)
    return u.value


@pytest.mark.parametrize("scale", [0.05, 0.4, 3.0])
@pytest.mark.parametrize("density", [0.3, 1.0])
def test_on_graphs_it_is_the_optimum_of_a_general_solver(scale, density):
    v, weights = np.random.default_rng(1).normal(size=(7, 2)), random_graph(7, density)
    ours = graph_prox(v, weights, np.full(2, scale))
    for j in range(2):
        np.testing.assert_allclose(ours[:, j], by_a_general_solver(v[:, j], scale * weights), atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 3, 9, 40])
@pytest.mark.parametrize("scale", [1e-3, 0.1, 1.0, 100.0])
def test_the_two_ways_agree_on_a_chain(n, scale):
    rng = np.random.default_rng(n)
    v, weights = rng.normal(size=(n, 5)), rng.uniform(0.2, 2, n - 1)
    scales = scale * rng.uniform(0.5, 2, 5)
    fast, slow = chain_prox(v, weights, scales), graph_prox(v, chain(weights), scales)
    np.testing.assert_allclose(fast, slow, atol=1e-10)


def test_on_a_chain_the_optimality_conditions_hold():
    rng = np.random.default_rng(0)
    v, weights = rng.normal(size=(50, 3)), rng.uniform(0.1, 1, 49)
    u = chain_prox(v, weights, np.ones(3))
    # Running sums of the residual are the dual variables of the edges.
    dual = np.cumsum(v - u, axis=0)
    np.testing.assert_allclose(dual[-1], 0, atol=1e-12)
    assert np.all(np.abs(dual[:-1]) <= weights[:, None] + 1e-12)
    jump = np.diff(u, axis=0)
    moved = np.abs(jump) > 1e-9
    assert moved.any()
    np.testing.assert_allclose(dual[:-1][moved], (-weights[:, None] * np.sign(jump))[moved], atol=1e-9)


def test_equal_values_and_equal_neighbours_stay():
    v = np.array([[1.0], [1.0], [1.0], [2.0], [2.0]])
    np.testing.assert_allclose(chain_prox(v, np.full(4, 0.3), np.ones(1))[:, 0], [1.1, 1.1, 1.1, 1.85, 1.85])
    np.testing.assert_array_equal(
        graph_prox(np.ones((4, 1)), random_graph(4, 1.0), np.ones(1)), np.ones((4, 1))
    )


def test_parts_of_a_graph_that_are_not_linked_do_not_meet():
    v = np.random.default_rng(0).normal(size=(6, 2))
    weights = np.zeros((6, 6))
    weights[:3, :3] = weights[4:, 4:] = 10.0
    np.fill_diagonal(weights, 0)
    ours = graph_prox(v, weights, np.ones(2))
    np.testing.assert_allclose(ours[:3], np.broadcast_to(v[:3].mean(axis=0), (3, 2)))
    np.testing.assert_allclose(ours[3], v[3])
    np.testing.assert_allclose(ours[4:], np.broadcast_to(v[4:].mean(axis=0), (2, 2)))


def test_compiled_and_plain_code_agree():
    v, weights = np.random.default_rng(0).normal(size=(6, 3)), random_graph(6, 0.5)
    scale = np.array([0.1, 0.5, 2.0])
    edges = np.linspace(0.5, 1, 5)
    np.testing.assert_allclose(chain_prox(v, edges, scale), chain_prox.py_func(v, edges, scale), atol=1e-14)
    np.testing.assert_allclose(
        graph_prox(v, weights, scale), graph_prox.py_func(v, weights, scale), atol=1e-14
    )
