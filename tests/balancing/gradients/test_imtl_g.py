from __future__ import annotations

import numpy as np
import pytest

from polytask.balancing.gradients import IMTLG

from . import properties
from .jacobians import direction_of, random_jacobian, weights_of


def closed_form(jacobian: np.ndarray) -> np.ndarray:
    """Equation 6 of Liu et al. on the gradients themselves."""
    units = jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True)
    d, u = jacobian[0] - jacobian[1:], units[0] - units[1:]
    rest = jacobian[0] @ u.T @ np.linalg.inv(d @ u.T)
    return np.r_[1 - rest.sum(), rest]


@pytest.mark.parametrize("seed", range(10))
def test_is_the_closed_form(seed: int) -> None:
    jacobian = random_jacobian(2 + seed, 30, seed)
    w = weights_of(IMTLG(), jacobian)
    np.testing.assert_allclose(w, closed_form(jacobian), rtol=1e-8, atol=1e-8)
    assert w.sum() == pytest.approx(1)
    projections = jacobian @ (w @ jacobian) / np.linalg.norm(jacobian, axis=1)
    np.testing.assert_allclose(projections, projections[0], rtol=1e-8)


def test_golden() -> None:
    # Norms 1 and 3: the weights of two tasks are in inverse proportion to them.
    np.testing.assert_allclose(weights_of(IMTLG(), np.array([[1.0, 0.0], [0.0, 3.0]])), [0.75, 0.25])


def test_dependent_gradients() -> None:
    gradient = np.array([1.0, 2.0])
    w = weights_of(IMTLG(), np.array([gradient, 2 * gradient]))
    np.testing.assert_allclose(w, [2 / 3, 1 / 3])
    np.testing.assert_array_equal(weights_of(IMTLG(), np.array([gradient, -2 * gradient])), [0, 0])
    # Of float32 precision: the noise of the cosine does not decide.
    noisy = np.array([gradient, gradient * (1 + 3e-8) + [1e-8, -1e-8]])
    np.testing.assert_allclose(weights_of(IMTLG(), noisy), [0.5, 0.5], atol=1e-6)


def test_three_tasks_can_get_negative_weights() -> None:
    jacobian = np.array([[1.0, 0.0, 0.0], [0.95, 0.3, 0.0], [0.8, 0.6, 0.05]])
    w = weights_of(IMTLG(), jacobian)
    assert w.min() < 0
    assert w.sum() == pytest.approx(1)


def test_properties() -> None:
    properties.permutation_equivariant(IMTLG)
    properties.invariant_to_loss_scale(IMTLG, length=False)
    properties.equal_for_identical_tasks(IMTLG)
    properties.refuses_other_state(IMTLG)


def test_identical_tasks_give_their_gradient() -> None:
    np.testing.assert_allclose(direction_of(IMTLG(), np.ones((4, 3))), np.ones(3))
