from __future__ import annotations

import numpy as np
import pytest

from polytask.balancing.gradients import PCGrad
from polytask.balancing.gradients.pcgrad import random_orders
from polytask.balancing.state import Draws

from . import properties
from .jacobians import direction_of, random_jacobian, weights_of


def surgery(jacobian: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Algorithm 1 of Yu et al. on the gradients themselves."""
    changed = jacobian.copy()
    for i, order in enumerate(orders):
        for j in order:
            product = changed[i] @ jacobian[j]
            if i != j and product < 0:
                changed[i] = changed[i] - product / (jacobian[j] @ jacobian[j]) * jacobian[j]
    return changed.sum(0)


@pytest.mark.parametrize("seed", range(10))
def test_is_the_surgery_on_gradients(seed: int) -> None:
    jacobian = random_jacobian(2 + seed, 12, seed)
    expected = surgery(jacobian, random_orders(Draws(7), len(jacobian)))
    np.testing.assert_allclose(direction_of(PCGrad(seed=7), jacobian), expected, atol=1e-10)


def test_orders_are_permutations_that_differ() -> None:
    orders = random_orders(Draws(0), 11)
    np.testing.assert_array_equal(np.sort(orders, 1), np.tile(np.arange(11), (11, 1)))
    assert len({tuple(order) for order in orders}) == 11


def test_golden() -> None:
    # g = (1, 0), (−1, 1): ⟨g_1, g_2⟩ = −1, so g_1' = g_1 + g_2/2 and g_2' = g_2 + g_1.
    np.testing.assert_allclose(weights_of(PCGrad(), np.array([[1.0, 0.0], [-1.0, 1.0]])), [2, 1.5])


def test_without_conflict_it_is_the_sum() -> None:
    np.testing.assert_array_equal(weights_of(PCGrad(), np.abs(random_jacobian(5, 7, 0))), np.ones(5))


def test_two_tasks_do_not_conflict() -> None:
    properties.non_conflicting(PCGrad, [(2, 2, s) for s in range(10)])


def test_a_gradient_in_another_layout() -> None:
    jacobian = random_jacobian(4, 12, 0)
    gramian = np.asfortranarray((jacobian @ jacobian.T)[::1])
    losses = np.ones(4)
    np.testing.assert_array_equal(
        PCGrad().weights(tuple("abcd"), losses, gramian), weights_of(PCGrad(), jacobian)
    )


def test_properties() -> None:
    properties.equal_for_identical_tasks(PCGrad)
    properties.resumes_identically(PCGrad)
    properties.refuses_other_state(PCGrad)
