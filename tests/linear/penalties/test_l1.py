from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest

from polytask.linear.penalties.l1 import L1

rng = np.random.default_rng(0)
ALPHA, FACTORS = np.array([0.5, 2.0, 1.0]), np.array([1.0, 0.0, 2.0, 0.7])


@pytest.mark.parametrize("alpha", [0.8, ALPHA])
def test_prox_is_the_minimum_by_cvxpy(alpha):
    coef, step = rng.normal(size=(3, 4)) * 2, 0.6
    B = cp.Variable((3, 4))
    strength = np.multiply.outer(np.broadcast_to(alpha, 3), FACTORS)
    cp.Problem(
        cp.Minimize(cp.sum_squares(B - coef) / 2 + step * cp.sum(cp.multiply(strength, cp.abs(B))))
    ).solve(solver=cp.CLARABEL)
    np.testing.assert_allclose(L1(alpha, FACTORS).prox(coef, step), B.value, atol=1e-5)


def test_value_is_the_sum_of_weighted_absolute_values():
    coef = rng.normal(size=(3, 4))
    by_hand = sum(ALPHA[t] * FACTORS[j] * abs(coef[t, j]) for t in range(3) for j in range(4))
    np.testing.assert_allclose(L1(ALPHA, FACTORS).value(coef), by_hand)


def test_the_dual_norm_is_the_largest_product_with_the_unit_ball():
    penalty, slope = L1(ALPHA, FACTORS + 0.1), rng.normal(size=(3, 4))
    tries = rng.normal(size=(3000, 3, 4)) * (rng.random((3000, 3, 4)) < 0.2)
    products = [np.vdot(slope, B) / penalty.value(B) for B in tries if B.any()]
    assert max(products) <= penalty.dual_norm(slope) * (1 + 1e-12)
    corner = np.zeros((3, 4))
    corner.flat[np.argmax(np.abs(slope) / penalty.threshold)] = 1
    np.testing.assert_allclose(abs(np.vdot(slope, corner)) / penalty.value(corner), penalty.dual_norm(slope))
    assert L1(ALPHA, FACTORS).dual_norm(slope) is None
