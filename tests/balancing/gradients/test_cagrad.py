from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from polytask.balancing.gradients import CAGrad
from polytask.errors import SettingError

from . import properties
from .jacobians import direction_of, random_jacobian, weights_of


@pytest.mark.parametrize("c", [0.0, 0.4, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(6))
def test_no_direction_of_the_ball_is_better(seed: int, c: float) -> None:
    jacobian = random_jacobian(2 + 2 * seed, 12, seed)
    mean = jacobian.mean(0)
    d = direction_of(CAGrad(c), jacobian)
    radius = c * np.linalg.norm(mean)
    assert np.linalg.norm(d - mean) <= radius * (1 + 1e-9) + 1e-12
    # For every w, max_d ⟨g_w, d⟩ = ⟨g_w, g_0⟩ + radius ‖g_w‖ bounds the best; the step shows its own w.
    w = np.zeros(len(jacobian)) if c == 0 else weights_of(CAGrad(c), jacobian) - 1 / len(jacobian)
    w = w / w.sum() if c else np.eye(len(jacobian))[np.argmin(jacobian @ mean)]
    assert (w >= -1e-9).all()
    bound = (w @ jacobian) @ mean + radius * np.linalg.norm(w @ jacobian)
    assert (jacobian @ d).min() >= bound - 1e-7 * np.linalg.norm(jacobian) ** 2


@pytest.mark.parametrize("seed", range(5))
def test_two_tasks_by_a_line_search(seed: int) -> None:
    jacobian, c = random_jacobian(2, 3, seed), 0.5
    mean = jacobian.mean(0)
    root_phi = c * np.linalg.norm(mean)

    def objective(x: float) -> float:
        g_w = x * jacobian[0] + (1 - x) * jacobian[1]
        return float(g_w @ mean + root_phi * np.linalg.norm(g_w))

    x = minimize_scalar(objective, bounds=(0, 1), method="bounded", options={"xatol": 1e-12}).x
    g_w = x * jacobian[0] + (1 - x) * jacobian[1]
    expected = mean + root_phi / np.linalg.norm(g_w) * g_w
    np.testing.assert_allclose(direction_of(CAGrad(c), jacobian), expected, atol=3e-5)


def test_golden() -> None:
    # g = (2, 0), (0, 2) are symmetric: w = (½, ½), g_w = g_0 = (1, 1), d = (1 + c) g_0.
    np.testing.assert_allclose(weights_of(CAGrad(0.4), 2 * np.eye(2)), [0.7, 0.7], atol=1e-9)


def test_where_the_formula_is_zero_by_zero() -> None:
    jacobian = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])  # w = (½, ½, 0), g_w = 0
    np.testing.assert_allclose(direction_of(CAGrad(0.4), jacobian), [0, 1 / 3], atol=1e-7)
    opposed = np.array([[1.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_allclose(direction_of(CAGrad(0.4), opposed), [0, 0], atol=1e-7)


def test_properties() -> None:
    properties.non_conflicting(lambda: CAGrad(1.0))
    properties.non_conflicting(lambda: CAGrad(2.0))
    properties.permutation_equivariant(CAGrad)
    properties.equal_for_identical_tasks(CAGrad)
    properties.zero_only_at_pareto_points(CAGrad, zero=False)
    properties.resumes_identically(CAGrad)
    properties.refuses_other_state(CAGrad)


def test_wrong_settings() -> None:
    with pytest.raises(SettingError, match="c must"):
        CAGrad(-1.0)
