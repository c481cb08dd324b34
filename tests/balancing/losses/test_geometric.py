from __future__ import annotations

import numpy as np

from polytask.balancing.losses import GeometricMean
from polytask.testing import check_balancer

from ..properties import (
    check_direction_ignores_the_scale_of_losses,
    check_identical_tasks_weigh_the_same,
    check_permutation_equivariant,
    check_resumes_exactly,
    loss_steps,
)
from .twins import gradient


def test_properties() -> None:
    check_balancer(GeometricMean)
    check_permutation_equivariant(GeometricMean)
    check_identical_tasks_weigh_the_same(GeometricMean)
    check_direction_ignores_the_scale_of_losses(GeometricMean)
    check_resumes_exactly(GeometricMean)


def test_weights_are_the_gradient_of_the_geometric_mean() -> None:
    for tasks, losses, _ in loss_steps():
        expected = gradient(lambda v: v.prod() ** (1 / len(v)), losses)
        np.testing.assert_allclose(GeometricMean().weights(tasks, losses), expected, rtol=1e-12)


def test_by_hand() -> None:
    """√(4 · 9) = 6, so 6 / (2 · 4) and 6 / (2 · 9)."""
    weights = GeometricMean().weights(("a", "b"), np.array([4.0, 9.0]))
    np.testing.assert_allclose(weights, [0.75, 1 / 3], rtol=1e-14)


def test_identical_losses_give_the_mean() -> None:
    np.testing.assert_allclose(GeometricMean().weights(("a", "b", "c"), np.full(3, 0.3)), 1 / 3, rtol=1e-14)


def test_a_product_beyond_the_range_of_floats() -> None:
    tasks = tuple(f"t{i}" for i in range(400))
    weights = GeometricMean().weights(tasks, np.full(400, 1e-3))
    np.testing.assert_allclose(weights, 1 / 400, rtol=1e-12)
