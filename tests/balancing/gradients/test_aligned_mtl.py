from __future__ import annotations

import numpy as np
import pytest

from polytask.balancing.gradients import AlignedMTL

from . import properties
from .jacobians import direction_of, random_jacobian, weights_of


@pytest.mark.parametrize(("m", "p", "seed"), [(2, 3, 0), (3, 3, 1), (5, 3, 2), (11, 50, 4)])
def test_is_the_mean_of_aligned_gradients(m: int, p: int, seed: int) -> None:
    jacobian = random_jacobian(m, p, seed)
    u, sigma, vt = np.linalg.svd(jacobian, full_matrices=False)
    rank = min(m, p)
    aligned = sigma[rank - 1] * u[:, :rank] @ vt[:rank]
    np.testing.assert_allclose(direction_of(AlignedMTL(), jacobian), aligned.mean(0), atol=1e-9)


def test_golden() -> None:
    # Orthogonal gradients: all become as long as the shortest.
    np.testing.assert_allclose(weights_of(AlignedMTL(), np.diag([2.0, 8.0])), [0.5, 0.125], rtol=1e-12)


def test_rounding_is_not_a_singular_value() -> None:
    gradient = np.array([1.0, 2.0])
    noisy = np.array([gradient, gradient + np.array([1e-5, -1e-5]), [0.0, 3.0]])
    exact = np.array([gradient, gradient, [0.0, 3.0]])
    np.testing.assert_allclose(
        direction_of(AlignedMTL(), noisy), direction_of(AlignedMTL(), exact), rtol=1e-4
    )


def test_a_short_gradient_counts() -> None:
    jacobian = random_jacobian(3, 8, 0) * np.array([[1.0], [1e-5], [10.0]])
    u, sigma, vt = np.linalg.svd(jacobian, full_matrices=False)
    np.testing.assert_allclose(
        direction_of(AlignedMTL(), jacobian), sigma[-1] * (u @ vt).mean(0), rtol=1e-3, atol=1e-8
    )


def test_identical_tasks_get_equal_weights() -> None:
    np.testing.assert_allclose(weights_of(AlignedMTL(), np.ones((5, 2))), np.full(5, 0.2), rtol=1e-9)


def test_properties() -> None:
    properties.permutation_equivariant(AlignedMTL)
    properties.equal_for_identical_tasks(AlignedMTL)
    properties.refuses_other_state(AlignedMTL)
