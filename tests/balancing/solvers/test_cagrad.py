from __future__ import annotations

import numpy as np
import pytest

from polytask.balancing.solvers import cagrad, min_norm
from polytask.errors import SettingError

from .problems import gramians, kkt_cagrad, objective_cagrad


def test_a_thousand_gramians_up_to_condition_1e8_have_no_duality_gap() -> None:
    for i, G in enumerate(gramians(1000, 0, 8)):
        c = (0.1, 0.4, 0.9)[i % 3]
        w = cagrad(G, c)
        # the dual: max over ‖d − g_0‖ ≤ c‖g_0‖ of min_i ⟨g_i, d⟩, here at d = g_0 + c ‖g_0‖/‖g_w‖ g_w
        mean = np.full(len(G), 1 / len(G))
        weights = mean + c * np.sqrt(mean @ G @ mean / (w @ G @ w)) * w
        primal, dual = objective_cagrad(G, c, w), (G @ weights).min()
        assert abs(primal - dual) <= 1e-6 * abs(primal)
        assert kkt_cagrad(G, c, w) <= 1e-11


def test_a_thousand_gramians_of_conditions_1e8_to_1e12_are_optimal() -> None:
    found = [kkt_cagrad(G, c, cagrad(G, c)) for G, c in zip(gramians(1000, 8, 12), (0.1, 0.4, 0.9) * 334)]
    assert max(found) <= 1e-6


def test_a_minimum_where_the_weighted_gradient_vanishes() -> None:
    """Two opposite gradients and one across: f is 0 at (½, ½, 0) and not differentiable there."""
    jacobian = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(cagrad(jacobian @ jacobian.T, 0.4), [0.5, 0.5, 0.0], atol=1e-8)
    jacobian = np.random.default_rng(0).normal(size=(4, 20))
    jacobian[1] = -jacobian[0]
    G = jacobian @ jacobian.T
    value = objective_cagrad(G, 0.4, cagrad(G, 0.4))
    corners = np.random.default_rng(1).dirichlet(np.full(4, 0.5), size=2000)
    assert value <= min(objective_cagrad(G, 0.4, w) for w in corners)
    assert value == pytest.approx(0, abs=1e-7 * np.trace(G))


def test_no_radius_leaves_the_worst_task_alone() -> None:
    """At c = 0 the objective is linear, ⟨g_w, g_0⟩."""
    for G in gramians(50, 0, 4):
        w = cagrad(G, 0.0)
        assert w @ G.mean(1) == pytest.approx(G.mean(1).min(), abs=1e-9 * np.abs(G.mean(1)).max())


def test_a_wide_radius_approaches_the_shortest_vector() -> None:
    for G in gramians(30, 0, 3):
        w, shortest = cagrad(G, 1e7), min_norm(G)
        assert w @ G @ w == pytest.approx(shortest @ G @ shortest, rel=1e-4)


def test_a_mean_gradient_of_zero_leaves_equal_weights() -> None:
    np.testing.assert_array_equal(cagrad(np.array([[1.0, -1.0], [-1.0, 1.0]]), 0.4), [0.5, 0.5])


@pytest.mark.parametrize("c", [-0.1, float("nan"), float("inf")])
def test_a_wrong_radius_is_named(c: float) -> None:
    with pytest.raises(SettingError, match="c of CAGrad must be"):
        cagrad(np.eye(2), c)
