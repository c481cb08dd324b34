from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from polytask.balancing.solvers import fair
from polytask.errors import SettingError

from .problems import gramians, kkt_fair, objective_fair

FAIRNESS = (0.1, 0.5, 1.0, 2.0, 5.0, 20.0)


@pytest.mark.parametrize(("low", "high"), [(0, 8), (8, 16)])
def test_a_thousand_gramians_solve_the_equation(low: float, high: float) -> None:
    found = [kkt_fair(G, a, fair(G, a)) for G, a in zip(gramians(1000, low, high), FAIRNESS * 167)]
    assert max(found) <= 1e-11


def test_scipy_finds_the_same_minimum() -> None:
    for i, G in enumerate(gramians(40, 0, 3, seed=2)):
        G, a = G[:8, :8], (0.5, 1.0, 2.0)[i % 3]
        alpha = fair(G, a)
        # in log α, from elsewhere, with its gradient
        found = minimize(
            lambda y, G=G, a=a: objective_fair(G, a, np.exp(y)),
            np.log(alpha) + 0.3 * np.cos(np.arange(len(G))),
            jac=lambda y, G=G, a=a: np.exp(y) * (G @ np.exp(y) - np.exp(-y / a)),
            method="BFGS",
            options={"gtol": 1e-9},
        )
        best = objective_fair(G, a, alpha)
        assert abs(best - found.fun) <= 1e-6 * (1 + abs(found.fun))
        assert best <= found.fun + 1e-10 * (1 + abs(found.fun))


@pytest.mark.parametrize("a", FAIRNESS)
def test_orthogonal_gradients_have_a_closed_form(a: float) -> None:
    squares = np.array([1.0, 4.0, 1e-6, 1e6])
    np.testing.assert_allclose(fair(np.diag(squares), a), squares ** (-a / (1 + a)), rtol=1e-12)


@pytest.mark.parametrize("a", FAIRNESS)
@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_units_scale_the_weights(a: float, unit: float) -> None:
    for G in gramians(10, 0, 6):
        np.testing.assert_allclose(fair(unit * G, a), unit ** (-a / (1 + a)) * fair(G, a), rtol=1e-8)


@pytest.mark.parametrize("a", [0.5, 1.0, 2.0])
def test_gradients_without_a_solution_leave_a_short_direction(a: float) -> None:
    """Opposite gradients: no direction helps both, the ridge keeps the weights finite and equal."""
    alpha = fair(np.array([[1.0, -1.0], [-1.0, 1.0]]), a)
    assert np.isfinite(alpha).all()
    assert alpha.min() > 0
    assert alpha[0] == pytest.approx(alpha[1], rel=1e-6)


@pytest.mark.parametrize("a", [0.3, 1.0, 2.0])
def test_gramians_made_indefinite_by_float32_are_solved_to_that_rounding(a: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        jacobian = rng.normal(size=(int(rng.integers(2, 12)), int(rng.integers(1, 8)))).astype(np.float32)
        jacobian = np.vstack([jacobian, -jacobian.sum(0)])
        G = (jacobian @ jacobian.T).astype(np.float64)
        assert kkt_fair(G, a, fair(G, a)) <= 1e-6


@pytest.mark.parametrize("a", [0.0, -1.0, float("nan"), float("inf")])
def test_a_wrong_fairness_is_named(a: float) -> None:
    with pytest.raises(SettingError, match="must be a positive number"):
        fair(np.eye(2), a)
