from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import fsolve, minimize

from polytask.balancing.gradients import NashMTL
from polytask.errors import SettingError

from . import properties
from .jacobians import direction_of, random_jacobian, weights_of

SHAPES = [(2, 3, 0), (3, 3, 1), (5, 20, 3), (11, 50, 4)]


@pytest.mark.parametrize(("m", "p", "seed"), SHAPES)
def test_solves_the_bargain(m: int, p: int, seed: int) -> None:
    jacobian = random_jacobian(m, p, seed)

    def excess(log_alpha: np.ndarray) -> np.ndarray:
        alpha = np.exp(log_alpha)
        return alpha * (jacobian @ (jacobian.T @ alpha)) - 1

    start = -np.log(np.linalg.norm(jacobian, axis=1))
    root, _, found, _ = fsolve(excess, start, xtol=1e-13, full_output=True)
    assert found == 1
    np.testing.assert_allclose(weights_of(NashMTL(), jacobian), np.exp(root), rtol=1e-8)


def test_maximises_the_product_of_gains_in_the_ball() -> None:
    jacobian = random_jacobian(3, 3, 1)
    d = direction_of(NashMTL(), jacobian)
    assert np.linalg.norm(d) == pytest.approx(np.sqrt(3))

    def loss(x: np.ndarray) -> float:
        gains = jacobian @ x / np.linalg.norm(x)
        return float(-np.log(gains).sum()) if (gains > 0).all() else 1e3

    best = minimize(loss, d + 0.05, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}).fun
    assert loss(d) <= best + 1e-9


def test_golden() -> None:
    # Orthogonal gradients: ‖g_t‖² α_t = 1/α_t.
    np.testing.assert_allclose(weights_of(NashMTL(), np.diag([2.0, 4.0])), [0.5, 0.25], rtol=1e-10)
    np.testing.assert_allclose(weights_of(NashMTL(), np.ones((4, 1))), np.full(4, 0.5), rtol=1e-9)


def test_max_norm() -> None:
    jacobian = random_jacobian(5, 20, 3)
    free, bounded = direction_of(NashMTL(), jacobian), direction_of(NashMTL(max_norm=1.0), jacobian)
    assert np.linalg.norm(bounded) == pytest.approx(1.0)
    np.testing.assert_allclose(bounded * np.sqrt(5), free, rtol=1e-9)
    np.testing.assert_allclose(direction_of(NashMTL(max_norm=9.0), jacobian), free)


def test_near_pareto_points_weights_stay_finite() -> None:
    opposed = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert np.isfinite(weights_of(NashMTL(), opposed)).all()
    assert np.linalg.norm(direction_of(NashMTL(max_norm=1.0), opposed)) < 1e-3


def test_properties() -> None:
    properties.non_conflicting(NashMTL, SHAPES)
    properties.invariant_to_loss_scale(NashMTL, length=True)
    properties.equal_for_identical_tasks(NashMTL)
    properties.zero_only_at_pareto_points(NashMTL, zero=False)
    properties.resumes_identically(NashMTL)
    properties.refuses_other_state(NashMTL)


def test_wrong_settings() -> None:
    with pytest.raises(SettingError, match="max_norm"):
        NashMTL(max_norm=0.0)
