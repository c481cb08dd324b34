from __future__ import annotations

import numpy as np
import pytest

from polytask.balancing.solvers import min_norm

from .problems import gramians, kkt_min_norm


def test_a_thousand_gramians_up_to_condition_1e8_have_no_duality_gap() -> None:
    for G in gramians(1000, 0, 8):
        w = min_norm(G)
        # ½wᵀGw is convex: the objective is at most this far above the minimum
        gap, rounding = 2 * (w @ G @ w - (G @ w).min()), 2e-15 * w @ np.abs(G) @ w
        assert gap <= 1e-6 * (w @ G @ w) + rounding
        assert kkt_min_norm(G, w) <= 1e-12


def test_a_thousand_gramians_of_conditions_1e8_to_1e16_are_optimal() -> None:
    assert max(kkt_min_norm(G, min_norm(G)) for G in gramians(1000, 8, 16)) <= 1e-10


@pytest.mark.parametrize(
    ("gramian", "expected"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5]),
        ([[1.0, 2.0], [2.0, 9.0]], [1.0, 0.0]),  # ⟨g_1, g_2⟩ ≥ ‖g_1‖²: the shorter one alone
        ([[9.0, 2.0], [2.0, 1.0]], [0.0, 1.0]),
        ([[4.0, 0.0], [0.0, 1.0]], [0.2, 0.8]),
        ([[1.0, -1.0], [-1.0, 1.0]], [0.5, 0.5]),
        ([[1.0, 1.0], [1.0, 1.0]], [0.5, 0.5]),
    ],
)
def test_two_tasks_in_closed_form(gramian: list[list[float]], expected: list[float]) -> None:
    np.testing.assert_allclose(min_norm(np.array(gramian)), expected, atol=1e-15)


def test_the_active_set_finds_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        jacobian = rng.normal(size=(2, 3))
        two = jacobian @ jacobian.T
        # a third gradient, orthogonal and so long that it takes no part
        three = np.pad(two, (0, 1)) + np.diag([0, 0, 1e12])
        np.testing.assert_allclose(min_norm(three)[:2], min_norm(two), atol=1e-10)


def test_orthogonal_gradients_weigh_inversely_to_their_squared_lengths() -> None:
    squares = np.array([1.0, 4.0, 100.0, 1e-3, 7.0])
    np.testing.assert_allclose(min_norm(np.diag(squares)), (1 / squares) / (1 / squares).sum(), rtol=1e-13)
