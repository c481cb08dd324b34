from __future__ import annotations

import cvxpy as cp
import numpy as np

from polytask.linear.penalties.group import Group

rng = np.random.default_rng(0)
FACTORS = np.array([1.0, 0.0, 2.0, 0.7])


def test_prox_is_the_minimum_by_cvxpy():
    coef, step = rng.normal(size=(3, 4)), 0.9
    B = cp.Variable((3, 4))
    norms = sum(FACTORS[j] * cp.norm2(B[:, j]) for j in range(4))
    cp.Problem(cp.Minimize(cp.sum_squares(B - coef) / 2 + step * 1.3 * norms)).solve(solver=cp.CLARABEL)
    found = Group(1.3, FACTORS).prox(coef, step)
    np.testing.assert_allclose(found, B.value, atol=1e-5)
    np.testing.assert_array_equal(found[:, 1], coef[:, 1])


def test_prox_of_zero_is_zero():
    assert not Group(1.0, FACTORS).prox(np.zeros((3, 4)), 1.0).any()


def test_the_dual_norm_is_the_largest_product_with_the_unit_ball():
    penalty, slope = Group(1.3, FACTORS + 0.1), rng.normal(size=(3, 4))
    tries = rng.normal(size=(3000, 3, 4)) * (rng.random((3000, 1, 4)) < 0.4)
    products = [np.vdot(slope, B) / penalty.value(B) for B in tries if B.any()]
    largest = penalty.dual_norm(slope)
    assert 0.8 * largest < max(products) <= largest
    j = np.argmax(np.linalg.norm(slope, axis=0) / (1.3 * (FACTORS + 0.1)))
    best = np.where(np.arange(4) == j, slope, 0.0)
    np.testing.assert_allclose(np.vdot(slope, best) / penalty.value(best), largest)
    assert Group(1.3, FACTORS).dual_norm(slope) is None
