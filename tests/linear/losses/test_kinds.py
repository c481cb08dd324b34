from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize_scalar

from polytask.linear.losses.kinds import KINDS

LABELS = {"squared": [-1.3, 0.0, 2.0], "logistic": [0.0, 0.3, 1.0], "poisson": [0.0, 1.0, 5.0]}
each_kind = pytest.mark.parametrize("name", list(KINDS))


@each_kind
def test_mean_and_variance_are_derivatives(name):
    kind, h = KINDS[name], 1e-5
    z, y = np.meshgrid(np.linspace(-3, 3, 13), LABELS[name])
    slope = (kind.value(y, z + h) - kind.value(y, z - h)) / (2 * h)
    np.testing.assert_allclose(kind.mean(z) - y, slope, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(kind.variance(z), (kind.mean(z + h) - kind.mean(z - h)) / (2 * h), rtol=1e-7)
    if kind.curvature is not None:
        assert kind.variance(z).max() <= kind.curvature
    np.testing.assert_allclose(kind.link(kind.mean(z)), z, rtol=1e-9, atol=1e-12)


def _less(kind, y, u, z):
    return float(kind.value(y, z)) - u * z


@each_kind
def test_conjugate_is_the_supremum(name):
    kind = KINDS[name]
    for y in LABELS[name]:
        for mean in (0.1, 0.5, 0.9):
            u = mean - y
            less = partial(_less, kind, y, u)
            found = minimize_scalar(less, bounds=(-20, 20), method="bounded", options={"xatol": 1e-10})
            np.testing.assert_allclose(kind.conjugate(np.array(y), np.array(u)), -found.fun, atol=1e-9)


@each_kind
def test_least_is_the_loss_of_a_perfect_fit(name):
    kind, y = KINDS[name], np.array(LABELS[name])
    np.testing.assert_allclose(kind.value(y, kind.link(y)), kind.least(y), atol=1e-10)
    z = np.random.default_rng(0).normal(size=(50, 3)) * 5
    assert np.all(kind.value(y, z) >= kind.least(y))


@each_kind
@settings(max_examples=60, deadline=None)
@given(
    z=arrays(float, 8, elements=st.floats(-300, 300)),
    weights=arrays(float, 8, elements=st.floats(1e-6, 1e6)),
    start=st.floats(-1e3, 1e3),
)
def test_the_best_intercept_makes_the_mean_residual_vanish(name, z, weights, start):
    y = {"squared": np.arange(8.0), "logistic": np.arange(8) % 2, "poisson": np.arange(8) % 3}[name]
    kind = KINDS[name]
    found = kind.best_intercept(y[:, None] * 1.0, z[:, None], weights, np.array([start]))
    residual = weights @ (y - kind.mean(z + found))
    # Where the labels are separated the means are 0 and 1 but for rounding, and so is what the root can reach.
    rounding = weights @ kind.variance(z + found) * np.spacing(np.abs(z).max() + abs(found[0]))
    assert abs(residual) <= 1e-9 * weights.sum() + 10 * rounding


def test_extreme_predictors_are_finite_or_infinite_but_silent():
    z = np.array([-1e4, -800.0, 800.0, 1e4])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert np.isfinite(KINDS["logistic"].value(np.ones(4), z)).all()
        assert KINDS["poisson"].value(np.ones(4), z)[-1] == np.inf
        assert KINDS["poisson"].mean(z)[0] == 0
