from __future__ import annotations

import cvxpy as cp
import numpy as np

from polytask.linear.penalties.base import Free, NonNegative
from polytask.linear.penalties.group import Group
from polytask.linear.penalties.l1 import L1

rng = np.random.default_rng(0)


def test_prox_with_the_constraint_is_the_constrained_minimum():
    coef, step = rng.normal(size=(3, 4)) * 2, 0.7
    B = cp.Variable((3, 4), nonneg=True)
    for penalty, value in (
        (L1(0.8, np.ones(4)), 0.8 * cp.sum(B)),
        (Group(0.8, np.ones(4)), 0.8 * sum(cp.norm2(B[:, j]) for j in range(4))),
        (Free(), 0.0),
    ):
        cp.Problem(cp.Minimize(cp.sum_squares(B - coef) / 2 + step * value)).solve(solver=cp.CLARABEL)
        np.testing.assert_allclose(NonNegative(penalty).prox(coef, step), B.value, atol=1e-5)


def test_the_dual_norm_looks_at_upward_slopes_alone():
    slope = rng.normal(size=(3, 4))
    tries = np.abs(rng.normal(size=(3000, 3, 4))) * (rng.random((3000, 3, 4)) < 0.3)
    for penalty in (L1(0.8, np.ones(4)), Group(0.8, np.ones(4))):
        constrained = NonNegative(penalty)
        products = [np.vdot(slope, B) / constrained.value(B) for B in tries if B.any()]
        assert (
            0.8 * constrained.dual_norm(slope) < max(products) <= constrained.dual_norm(slope) * (1 + 1e-12)
        )
    assert NonNegative(L1(0.8, np.ones(4))).dual_norm(-np.abs(slope)) == 0.0


def test_free_is_no_penalty():
    coef = rng.normal(size=(3, 4))
    np.testing.assert_array_equal(Free().prox(coef, 3.0), coef)
    assert Free().value(coef) == 0.0
    assert Free().dual_norm(coef) is None
