from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from polytask.linear.penalties.trace_norm import (
    TraceNorm,
    numerical_rank,
    shrink_singular_values,
    spectral_norm,
)


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 4), (1, 5), (5, 1)])
def test_the_prox_shrinks_singular_values(shape):
    B = np.random.default_rng(0).normal(size=shape)
    left, values, right = np.linalg.svd(B, full_matrices=False)
    for threshold in (0.1, np.sort(values)[0] * 1.01, values[0] * 1.01):
        expected = (left * np.maximum(values - threshold, 0)) @ right
        np.testing.assert_allclose(shrink_singular_values(B, threshold), expected, atol=1e-12)


def test_the_prox_minimises_its_definition():
    B = np.random.default_rng(1).normal(size=(2, 3))
    penalty = TraceNorm(0.4, np.ones(3))

    def objective(u):
        return ((u.reshape(2, 3) - B) ** 2).sum() / 2 + 0.5 * penalty.value(u.reshape(2, 3))

    best = minimize(objective, B.ravel(), method="Powell", options={"xtol": 1e-10, "ftol": 1e-14})
    reached = objective(penalty.prox(B, 0.5).ravel())
    np.testing.assert_allclose(reached, best.fun, atol=1e-8)
    assert reached <= best.fun + 1e-12


def test_the_dual_norm_bounds_inner_products_and_is_reached():
    rng = np.random.default_rng(2)
    penalty, slope = TraceNorm(0.7, np.ones(5)), rng.normal(size=(3, 5))
    for _ in range(20):
        B = rng.normal(size=(3, 5))
        assert np.vdot(slope, B) <= penalty.dual_norm(slope) * penalty.value(B) + 1e-12
    left, _, right = np.linalg.svd(slope)
    leading = np.outer(left[:, 0], right[0])
    np.testing.assert_allclose(
        np.vdot(slope, leading), penalty.dual_norm(slope) * penalty.value(leading), rtol=1e-12
    )
    np.testing.assert_allclose(spectral_norm(slope), np.linalg.norm(slope, 2), rtol=1e-12)


def test_unpenalised_features_are_no_part_of_the_matrix():
    B = np.random.default_rng(3).normal(size=(4, 6))
    factors = np.array([1.0, 0, 1, 1, 0, 1])
    penalty, kept = TraceNorm(0.5, factors), factors > 0
    assert penalty.value(B) == TraceNorm(0.5, np.ones(4)).value(B[:, kept])
    shrunk = penalty.prox(B, 2.0)
    np.testing.assert_array_equal(shrunk[:, ~kept], B[:, ~kept])
    np.testing.assert_allclose(shrunk[:, kept], shrink_singular_values(B[:, kept], 1.0))
    assert penalty.dual_norm(B) is None


def test_factors_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="one factor"):
        TraceNorm(1.0, np.array([1.0, 2.0]))


def test_numerical_rank():
    rng = np.random.default_rng(4)
    assert numerical_rank(rng.normal(size=(6, 2)) @ rng.normal(size=(2, 9)) * 1e8) == 2
    assert numerical_rank(np.zeros((3, 4))) == 0
    assert numerical_rank(np.zeros((3, 0))) == 0
