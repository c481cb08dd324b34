from __future__ import annotations

import numpy as np

from polytask.balancing.solvers import nash

from .problems import gramians, kkt_fair


def test_a_thousand_gramians_solve_the_bargaining_equation() -> None:
    for G in gramians(1000, 0, 8, seed=5):
        alpha = nash(G)
        assert alpha.min() > 0
        assert kkt_fair(G, 1.0, alpha) <= 1e-12


def test_two_tasks_in_closed_form() -> None:
    """Of Gα = 1/α for [[1, b], [b, 1]]: α = 1/√(1 + b), both."""
    for b in (-0.99, -0.5, 0.0, 0.5, 0.99):
        alpha = nash(np.array([[1.0, b], [b, 1.0]]))
        np.testing.assert_allclose(alpha, np.full(2, 1 / np.sqrt(1 + b)), rtol=1e-12)


def test_longer_gradients_weigh_less_in_proportion() -> None:
    """The game does not see the utilities' units: D G D has the solution D⁻¹α."""
    for G in gramians(30, 0, 4):
        d = 10 ** np.random.default_rng(len(G)).uniform(-4, 4, size=len(G))
        np.testing.assert_allclose(nash(G * np.outer(d, d)) * d, nash(G), rtol=1e-7)
