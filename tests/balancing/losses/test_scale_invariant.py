from __future__ import annotations

import numpy as np

from polytask.balancing.losses import ScaleInvariant
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
    check_balancer(ScaleInvariant)
    check_permutation_equivariant(ScaleInvariant)
    check_identical_tasks_weigh_the_same(ScaleInvariant)
    check_direction_ignores_the_scale_of_losses(ScaleInvariant, length_too=True)
    check_resumes_exactly(ScaleInvariant)


def test_weights_are_the_gradient_of_the_sum_of_logarithms() -> None:
    for tasks, losses, _ in loss_steps():
        expected = gradient(lambda v: v.log().sum(), losses)
        np.testing.assert_allclose(ScaleInvariant().weights(tasks, losses), expected, rtol=1e-14)


def test_by_hand() -> None:
    np.testing.assert_array_equal(ScaleInvariant().weights(("a", "b"), np.array([4.0, 0.5])), [0.25, 2.0])
