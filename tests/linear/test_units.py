from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem

from polytask.linear import GroupLasso, LabelledTable, Moments, TaskRidge
from polytask.linear.units import target_scales

X, Y = wide_problem(n=61)
CONSTANTS = [0.1, 1 / 3, -1e8 / 3, 1e-9 / 7, 0.0]


def with_constant(value):
    return np.column_stack([Y, np.full(61, value)])


@pytest.mark.parametrize("value", CONSTANTS)
def test_a_constant_target_keeps_its_scale_and_has_no_coefficients(value):
    table = LabelledTable.from_arrays(X, with_constant(value), np.random.default_rng(0).uniform(0.5, 2, 61))
    assert target_scales(TaskRidge(), table).tolist() == [1, 1, 1, 1]
    for data in (table, Moments.from_table(table)):
        scales = target_scales(TaskRidge(scale_targets=True), data)
        assert scales[3] == 1
        np.testing.assert_allclose(scales[:3], np.sqrt(data.target_variance[:3]))
    for model in (TaskRidge(1e-3, scale_targets=True), GroupLasso(1e-3, scale_targets=True)):
        model.fit(X, with_constant(value))
        assert np.abs(model.coef_[3]).max() <= 1e-12 * abs(value)
        assert model.intercept_[3] == pytest.approx(value, rel=1e-12)


def test_a_small_variation_about_a_large_mean_is_no_constant():
    small = 1e8 + 1e-2 * (Y - Y.mean(axis=0)) / Y.std(axis=0)
    table = LabelledTable.from_arrays(X, small)
    for data in (table, Moments.from_table(table)):
        scales = target_scales(TaskRidge(scale_targets=True), data)
        np.testing.assert_allclose(scales, 1e-2, rtol=1e-4)
