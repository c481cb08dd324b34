"""Default grids start at the least penalty that leaves no penalised coefficient."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from polytask import linear
from polytask.linear.table import LabelledTable

NAMES = [
    "TaskLasso", "GroupLasso", "TaskElasticNet", "GroupElasticNet", "BlockNormLasso", "SparseGroupLasso", "FusedTasks",
    "DirtyModel", "RobustFeatures", "TraceNorm", "RobustTasks",
]  # fmt: skip
FACTORS = np.array([0.0, 1, 1, 1, 1])


def data(loss, seed=0):
    """Effects of both signs, one of them strongly negative."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 5)) * np.array([1.0, 2, 0.5, 1, 1])
    B = rng.normal(size=(3, 5))
    B[:, 2] = -4
    z = X @ B.T * 0.3 + 0.3
    made = {
        "logistic": rng.random(z.shape) < 1 / (1 + np.exp(-z)),
        "poisson": rng.poisson(np.exp(np.clip(z, -3, 2.5))),
    }
    Y = made.get(loss, 3 * z + rng.normal(size=z.shape)).astype(float)
    Y[rng.random(Y.shape) < 0.15] = np.nan
    return X, Y


def largest_at(name, X, Y, point, share, settings, held):
    """The largest penalised coefficient at a share of the first penalty."""
    fixed = getattr(linear, name)
    levels = [point] if fixed.penalty_per_task else np.atleast_1d(point)
    penalties = dict(zip(fixed.penalties, levels))
    penalties[fixed.penalties[0]] = penalties[fixed.penalties[0]] * share
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fixed(**penalties, **settings, tol=1e-8).fit(X, Y)
    return np.abs(model.coef_[:, held]).max()


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("positive", "free"), [(False, True), (True, False), (True, True)])
def test_the_first_penalty_is_the_least_that_leaves_nothing(name, loss, positive, free):
    model = getattr(linear, f"{name}CV")
    if positive and model.can.positive:
        pytest.skip("not with positive coefficients")
    X, Y = data(loss)
    settings = {"loss": loss, "positive": positive, "penalty_factors": FACTORS if free else None}
    grid = model(**settings).default_grid(LabelledTable.from_arrays(X, Y), 2, 0.5)
    held = FACTORS > 0 if free else np.ones(5, dtype=bool)
    assert largest_at(name, X, Y, grid[0], 1.001, settings, held) < 1e-7
    assert largest_at(name, X, Y, grid[0], 0.97, settings, held) > 1e-5


def test_mrce_looks_at_upward_slopes_alone_where_coefficients_are_positive():
    X, Y = data("squared")
    point = linear.MRCECV(positive=True).default_grid(LabelledTable.from_arrays(X, Y), 2, 0.5)[0]
    settings = {"positive": True}
    every = np.ones(5, dtype=bool)
    assert largest_at("MRCE", X, Y, point, 1.05, settings, every) < 1e-7
    assert largest_at("MRCE", X, Y, point, 0.8, settings, every) > 1e-5
