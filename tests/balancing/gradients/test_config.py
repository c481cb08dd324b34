from __future__ import annotations

import numpy as np
import pytest

from polytask.balancing.gradients import ConFIG

from . import properties
from .jacobians import direction_of, random_jacobian, weights_of


def conflict_free(jacobian: np.ndarray) -> np.ndarray:
    """Equation 2 of Liu et al. on the gradients themselves."""
    units = jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True)
    x = np.linalg.pinv(units) @ np.ones(len(units))
    x = x / np.linalg.norm(x)
    return (jacobian @ x).sum() * x


@pytest.mark.parametrize(("m", "p", "seed"), [(2, 3, 0), (3, 3, 1), (5, 3, 2), (11, 50, 4)])
def test_is_the_equation_on_gradients(m: int, p: int, seed: int) -> None:
    jacobian = random_jacobian(m, p, seed)
    np.testing.assert_allclose(direction_of(ConFIG(), jacobian), conflict_free(jacobian), atol=1e-9)


def test_equal_cosines() -> None:
    jacobian = random_jacobian(5, 20, 3)
    cosines = jacobian @ direction_of(ConFIG(), jacobian) / np.linalg.norm(jacobian, axis=1)
    np.testing.assert_allclose(cosines, cosines[0], rtol=1e-9)
    assert cosines[0] > 0


def test_golden() -> None:
    # û = (1, 1)/√2 and Σ⟨g_t, û⟩ = 4/√2: d = (2, 2).
    np.testing.assert_allclose(direction_of(ConFIG(), np.diag([1.0, 3.0])), [2, 2], rtol=1e-12)
    np.testing.assert_array_equal(weights_of(ConFIG(), np.array([[1.0, 1.0], [-3.0, -3.0]])), [0, 0])


def test_properties() -> None:
    properties.non_conflicting(ConFIG, [(2, 3, 0), (3, 3, 1), (5, 20, 3), (11, 50, 4)])
    properties.permutation_equivariant(ConFIG)
    properties.invariant_to_loss_scale(ConFIG, length=False)
    properties.equal_for_identical_tasks(ConFIG)
    properties.refuses_other_state(ConFIG)
