from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem

from polytask.linear import Moments
from polytask.linear.losses.gram import GramLoss


def literal(X, Y, w, coef, fit_intercept):
    """½ Σ w (y − xb − b0)², by the definition."""
    total = 0.0
    for b, y in zip(coef, Y.T):
        known = ~np.isnan(y)
        residual = y[known] - X[known] @ b
        if fit_intercept:
            residual = residual - np.average(residual, weights=w[known])
        total += w[known] @ residual**2 / 2
    return total


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_value_slope_and_null_are_those_of_the_rows(fit_intercept, missing):
    X, Y = wide_problem(missing=missing)
    rng = np.random.default_rng(0)
    w, coef = rng.uniform(0.1, 2, len(X)), rng.normal(size=(3, 8))
    moments = Moments.from_arrays(X, Y, w)
    loss = GramLoss(moments if fit_intercept else moments.about_zero())
    np.testing.assert_allclose(loss.at(coef).value, literal(X, Y, w, coef, fit_intercept), rtol=1e-10)
    np.testing.assert_allclose(loss.null, literal(X, Y, w, 0 * coef, fit_intercept), rtol=1e-10)
    step, way = 1e-4, rng.normal(size=coef.shape)
    ends = [literal(X, Y, w, coef + sign * step * way, fit_intercept) for sign in (1, -1)]
    np.testing.assert_allclose(np.vdot(loss.at(coef).slope, way), (ends[1] - ends[0]) / (2 * step), rtol=1e-8)


def test_points_beyond_and_bends_are_those_computed_anew():
    X, Y = wide_problem(missing=0.3)
    loss = GramLoss(Moments.from_arrays(X, Y))
    rng = np.random.default_rng(0)
    first, second = (loss.point(rng.normal(size=(3, 8))) for _ in range(2))
    beyond = loss.beyond(first, second, 0.7)
    again = loss.at(second.coef + 0.7 * (second.coef - first.coef))
    np.testing.assert_allclose(beyond.value, again.value, rtol=1e-12)
    np.testing.assert_allclose(beyond.slope, again.slope, rtol=1e-9, atol=1e-8)
    move = second.coef - first.coef
    np.testing.assert_allclose(loss.bend(first, second), -np.vdot(second.slope - first.slope, move))


@pytest.mark.parametrize("p", [5, 150])
def test_the_curvature_bounds_that_of_all_moves(p):
    X, Y = wide_problem(n=200, p=p, q=2, missing=0.1)
    moments = Moments.from_arrays(X, Y)
    largest = max(np.linalg.eigvalsh(gram)[-1] for gram in moments.gram)
    assert largest * (1 - 1e-10) <= GramLoss(moments).curvature <= 1.05 * largest


def test_the_dual_at_its_best_scale_never_exceeds_the_least_value():
    X, Y = wide_problem(missing=0.3)
    loss = GramLoss(Moments.from_arrays(X, Y))
    rng = np.random.default_rng(0)
    for _ in range(20):
        coef = rng.normal(size=(3, 8)) * rng.choice([0.1, 1, 10])
        scales = np.linspace(0, 1, 50)
        best = loss.best_scale(coef, 1.0)
        assert loss.dual(coef, best) >= max(loss.dual(coef, s) for s in scales) - 1e-9 * loss.null
        # The dual at scale s bounds f(B) + ⟨s · slope, B'⟩-feasible penalties; at B itself that is f + s⟨slope, B⟩.
        value, slope = loss.at(coef)
        assert loss.dual(coef, 1.0) <= value + np.vdot(slope, coef) + 1e-9 * loss.null
