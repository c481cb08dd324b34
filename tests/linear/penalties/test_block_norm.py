from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from polytask.linear.penalties.block_norm import BlockNorm, conjugate_order, row_norms, shrink_rows
from polytask.linear.penalties.group import Group
from polytask.linear.penalties.l1 import L1

ORDERS = [1.0, 1.05, 1.5, 2.0, 2.5, 4.0, 30.0, np.inf]


def _rows(seed=0, q=5, p=60):
    """Rows of sizes from 1e-6 to 1e6 with ties and zeros, and thresholds below and above their dual norms."""
    rng = np.random.default_rng(seed)
    rows = np.abs(rng.normal(size=(q, p))) * 10.0 ** rng.uniform(-6, 6, p)
    rows[rng.random(rows.shape) < 0.2] = 0.0
    rows[:, 0] = 0.0
    rows[:, 1] = 3.0
    return rows, rng.uniform(0, 1.3, p)


@pytest.mark.parametrize("order", ORDERS)
def test_the_prox_satisfies_its_optimality_conditions(order):
    rows, share = _rows()
    dual = conjugate_order(order)
    threshold = share * row_norms(rows, dual)
    # Rows on the verge of zero are the hard ones.
    threshold[5:15] = row_norms(rows, dual)[5:15] * (1 - 10.0 ** -np.arange(1, 11))
    threshold[20] = 0.0
    out = shrink_rows(rows, threshold, order)
    unit = np.maximum(rows.max(axis=0), 1e-300)
    pull = (rows - out) / unit
    # V − U is in the dual ball of radius τ, and on the face of it that U exposes.
    assert np.all(row_norms(pull, dual) <= threshold / unit + 1e-12)
    np.testing.assert_allclose(
        (pull * out / unit).sum(axis=0), threshold / unit * row_norms(out / unit, order), atol=1e-12
    )
    assert not out[:, threshold >= row_norms(rows, dual)].any()
    np.testing.assert_array_equal(out[:, 20], rows[:, 20])


@pytest.mark.parametrize("order", [1.3, 3.0])
def test_the_prox_minimises_its_definition(order):
    rng = np.random.default_rng(3)
    V, factors = rng.normal(size=(3, 4)), np.array([0.3, 1.0, 0.0, 2.0])
    penalty = BlockNorm(0.4, factors, order)

    def value(U):
        return ((U - V.ravel()) ** 2).sum() / 2 + 0.7 * penalty.value(U.reshape(3, 4))

    found = minimize(value, V.ravel(), method="Powell", options={"xtol": 1e-10, "ftol": 1e-14}).x
    assert value(penalty.prox(V, 0.7).ravel()) <= value(found) + 1e-12
    np.testing.assert_allclose(penalty.prox(V, 0.7).ravel(), found, atol=1e-5)


@pytest.mark.parametrize("order", ORDERS)
def test_the_dual_norm_is_the_largest_product_over_the_unit_ball(order):
    rng = np.random.default_rng(1)
    slope, factors = rng.normal(size=(4, 6)), rng.uniform(0.5, 2, 6)
    penalty = BlockNorm(0.7, factors, order)
    norm = penalty.dual_norm(slope)
    tries = [rng.normal(size=(4, 6)) * (rng.random(6) < 0.3) for _ in range(500)]
    products = [np.vdot(slope, B) / penalty.value(B) for B in tries if B.any()]
    assert max(products) <= norm * (1 + 1e-12)
    # Prox is zero just where the dual norm of the point is at most the step.
    assert not penalty.prox(slope, norm * (1 + 1e-9)).any()
    assert penalty.prox(slope, norm * (1 - 1e-6)).any()


def test_orders_one_and_two_are_the_lasso_and_the_group_lasso():
    rng = np.random.default_rng(2)
    coef, factors = rng.normal(size=(3, 7)), rng.uniform(0, 2, 7)
    for order, other in ((1.0, L1(0.4, factors)), (2.0, Group(0.4, factors))):
        penalty = BlockNorm(0.4, factors, order)
        np.testing.assert_allclose(penalty.value(coef), other.value(coef), rtol=1e-13)
        np.testing.assert_allclose(penalty.prox(coef, 0.9), other.prox(coef, 0.9), atol=1e-14)
        # The general root of orders next to 1 and 2 is near them.
        near = BlockNorm(0.4, factors, order + 1e-7)
        np.testing.assert_allclose(near.prox(coef, 0.9), other.prox(coef, 0.9), atol=1e-5)


def test_unpenalised_features_have_no_dual_norm():
    assert BlockNorm(1.0, np.array([1.0, 0.0]), np.inf).dual_norm(np.ones((2, 2))) is None


@pytest.mark.parametrize("order", ORDERS)
def test_norms_of_extreme_rows_neither_overflow_nor_vanish(order):
    rows = np.array([[1e200, 1e-200, 0.0], [1e200, 1e-200, 0.0]])
    np.testing.assert_allclose(row_norms(rows, order), rows[0] * 2 ** (1 / order))
    assert conjugate_order(conjugate_order(order)) == pytest.approx(order)
