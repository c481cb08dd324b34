from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from scipy.optimize import brentq

from polytask.linear.penalties.group import Group
from polytask.linear.penalties.l1 import L1
from polytask.linear.penalties.sparse_group import SparseGroup, sparse_group_dual


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_dual_norm_solves_its_equation(ratio):
    rng = np.random.default_rng(0)
    slope = rng.normal(size=(6, 40)) * 10.0 ** rng.uniform(-8, 8, 40)
    slope[:, 0] = 0.0
    slope[:, 1] = -2.0
    slope[1:, 2] = 0.0
    found = sparse_group_dual(slope, ratio)
    assert found[0] == 0.0
    for column, nu in zip(slope.T[1:], found[1:]):

        def excess(nu, column=column):
            return np.linalg.norm(np.maximum(np.abs(column) - ratio * nu, 0.0)) - (1 - ratio) * nu

        # For the lasso the equation holds from the largest entry on: its least root is the norm.
        expected = (
            np.abs(column).max() if ratio == 1 else brentq(excess, 0, 1e3 * np.abs(column).sum(), xtol=1e-30)
        )
        np.testing.assert_allclose(nu, expected, rtol=1e-12)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_the_dual_norm_bounds_products_and_decides_when_the_prox_is_zero(ratio):
    rng = np.random.default_rng(1)
    slope, factors = rng.normal(size=(4, 6)), rng.uniform(0.5, 2, 6)
    penalty = SparseGroup(0.7, ratio, factors)
    norm = penalty.dual_norm(slope)
    tries = [rng.normal(size=(4, 6)) * (rng.random(6) < 0.3) for _ in range(500)]
    assert max(np.vdot(slope, B) / penalty.value(B) for B in tries if B.any()) <= norm * (1 + 1e-12)
    assert not penalty.prox(slope, norm * (1 + 1e-9)).any()
    assert penalty.prox(slope, norm * (1 - 1e-6)).any()


def test_the_prox_minimises_its_definition():
    rng = np.random.default_rng(2)
    V, factors = rng.normal(size=(3, 5)) * 2, np.array([0.3, 1.0, 0.0, 2.0, 0.5])
    U = cp.Variable((3, 5))
    rows = sum(f * cp.norm(U[:, j]) for j, f in enumerate(factors))
    entries = cp.sum(cp.multiply(factors, cp.sum(cp.abs(U), axis=0)))
    goal = cp.sum_squares(U - V) / 2 + 0.7 * 0.8 * (0.6 * rows + 0.4 * entries)
    cp.Problem(cp.Minimize(goal)).solve(solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12)
    np.testing.assert_allclose(SparseGroup(0.8, 0.4, factors).prox(V, 0.7), U.value, atol=1e-5)


def test_its_ends_are_the_group_lasso_and_the_lasso():
    rng = np.random.default_rng(3)
    coef, factors = rng.normal(size=(3, 7)), rng.uniform(0.1, 2, 7)
    for ratio, other in ((0.0, Group(0.4, factors)), (1.0, L1(0.4, factors))):
        penalty = SparseGroup(0.4, ratio, factors)
        np.testing.assert_allclose(penalty.value(coef), other.value(coef), rtol=1e-13)
        np.testing.assert_allclose(penalty.prox(coef, 0.9), other.prox(coef, 0.9), atol=1e-14)
        np.testing.assert_allclose(penalty.dual_norm(coef), other.dual_norm(coef), rtol=1e-13)


def test_unpenalised_features_have_no_dual_norm():
    assert SparseGroup(1.0, 0.5, np.array([1.0, 0.0])).dual_norm(np.ones((2, 2))) is None
