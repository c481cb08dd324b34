from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from problems import wide_problem

from polytask.linear import Moments
from polytask.linear.losses.gram import GramLoss
from polytask.linear.losses.ridged import Ridged
from polytask.linear.losses.rows import RowLoss
from polytask.linear.table import LabelledTable


def _losses():
    X, Y = wide_problem(missing=0.3)
    classes = np.where(np.isnan(Y), np.nan, np.nanmean(Y, axis=0) < Y)
    return {
        "gram": GramLoss(Moments.from_arrays(X, Y)),
        "logistic": RowLoss(LabelledTable.from_arrays(X, classes), "logistic"),
    }


@pytest.mark.parametrize("kind", ["gram", "logistic"])
@pytest.mark.parametrize("shape", [(8,), (3, 8)])
def test_the_slope_is_minus_the_gradient(kind, shape):
    rng = np.random.default_rng(0)
    loss = Ridged(_losses()[kind], rng.uniform(0, 5, shape))
    coef, way = rng.normal(size=(3, 8)), rng.normal(size=(3, 8))
    step = 1e-5
    numeric = (loss.at(coef + step * way).value - loss.at(coef - step * way).value) / (2 * step)
    np.testing.assert_allclose(np.vdot(loss.at(coef).slope, way), -numeric, rtol=1e-6)


@pytest.mark.parametrize("kind", ["gram", "logistic"])
def test_the_dual_is_a_lower_bound_and_tight_at_the_minimum(kind):
    # Where the slope vanishes the residual is feasible for every penalty, so the dual is the minimum.
    loss = Ridged(_losses()[kind], np.linspace(1, 9, 8))
    coef = np.zeros((3, 8))
    for _ in range(3000):
        coef = coef + loss.at(coef).slope / loss.curvature
    least = loss.at(coef).value
    np.testing.assert_allclose(loss.dual(coef, loss.best_scale(coef, np.inf)), least, rtol=1e-9)
    rng = np.random.default_rng(0)
    for _ in range(20):
        other = coef + rng.normal(size=coef.shape)
        # Any slope is feasible for the penalty ⟨|slope|, |B|⟩, which vanishes at zero: a bound of the null model.
        assert loss.dual(other, rng.uniform(0, 1)) <= loss.at(np.zeros((3, 8))).value + 1e-9


def test_a_ridge_is_the_same_as_a_diagonal_of_the_gram():
    moments = Moments.from_arrays(*wide_problem(missing=0.3))
    ridge = np.linspace(0.5, 4, 8)
    added = GramLoss(replace(moments, gram=moments.gram + np.diag(ridge)))
    inside = Ridged(GramLoss(moments), ridge)
    coef = np.random.default_rng(0).normal(size=(3, 8))
    for scale in (0.0, 0.4, 1.0):
        np.testing.assert_allclose(inside.dual(coef, scale), added.dual(coef, scale), rtol=1e-12)
    assert inside.at(coef).value == pytest.approx(added.at(coef).value, rel=1e-12)
    np.testing.assert_allclose(inside.at(coef).slope, added.at(coef).slope, atol=1e-9)
    assert inside.curvature >= np.linalg.eigvalsh(added.gram)[:, -1].max()


@pytest.mark.parametrize("kind", ["gram", "logistic"])
def test_points_ahead_are_evaluated_as_any_point(kind):
    loss = Ridged(_losses()[kind], np.linspace(1, 9, 8))
    rng = np.random.default_rng(0)
    last, here = loss.point(rng.normal(size=(3, 8))), loss.point(rng.normal(size=(3, 8)))
    ahead = loss.beyond(last, here, 0.7)
    np.testing.assert_allclose(ahead.coef, 1.7 * here.coef - 0.7 * last.coef, atol=1e-14)
    for point in (here, ahead):
        value, slope = loss.at(point.coef)
        np.testing.assert_allclose(point.value, value, rtol=1e-10)
        np.testing.assert_allclose(point.slope, slope, atol=1e-8)
    np.testing.assert_allclose(
        loss.bend(here, ahead), np.vdot(here.slope - ahead.slope, ahead.coef - here.coef), rtol=1e-9
    )
