"""Targets or features that do not vary: no coefficients, no gap and no warning."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from polytask import linear

SPARSE = [
    "TaskLasso", "GroupLasso", "BlockNormLasso", "FusedTasks", "DirtyModel", "RobustTasks", "RobustFeatures",
    "SparseGroupLasso", "TraceNorm", "GroupMCP", "GroupSCAD", "GroupElasticNet", "TaskElasticNet",
]  # fmt: skip


@pytest.mark.parametrize("name", [kind + suffix for kind in SPARSE for suffix in ("", "CV")])
@pytest.mark.parametrize("case", ["zeros", "constants", "no features"])
def test_nothing_to_explain(name, case):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(30, 4)), np.zeros((30, 3))
    if case == "constants":
        Y += 2.5
    if case == "no features":
        X, Y = np.zeros((30, 4)), rng.normal(size=(30, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = getattr(linear, name)().fit(X, Y)
    gap = np.max(getattr(model, "dual_gap_", getattr(model, "residual_", None)))
    assert 0 <= gap < 1e-10
    assert np.abs(model.coef_).max() < 1e-12
    np.testing.assert_allclose(model.intercept_, Y.mean(axis=0), atol=1e-12)
