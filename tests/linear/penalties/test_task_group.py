from __future__ import annotations

import numpy as np
import pytest

from polytask.linear.penalties.group import Group
from polytask.linear.penalties.task_group import TaskGroup


def test_it_is_the_group_penalty_of_the_transposed_coefficients():
    rng = np.random.default_rng(0)
    B = rng.normal(size=(4, 6)) * rng.uniform(0, 2, (4, 1))
    ours, theirs = TaskGroup(0.9, np.ones(6)), Group(0.9, np.ones(4))
    np.testing.assert_allclose(ours.value(B), theirs.value(B.T))
    np.testing.assert_allclose(ours.dual_norm(B), theirs.dual_norm(B.T))
    shrunk = ours.prox(B, 1.5)
    np.testing.assert_allclose(shrunk, theirs.prox(B.T, 1.5).T)
    assert 0 < shrunk.any(axis=1).sum() < 4


def test_unpenalised_features_stay():
    B = np.random.default_rng(1).normal(size=(3, 5))
    factors = np.array([1.0, 1, 0, 1, 0])
    penalty = TaskGroup(0.5, factors)
    shrunk = penalty.prox(B, 1e3)
    np.testing.assert_array_equal(shrunk[:, factors == 0], B[:, factors == 0])
    assert not shrunk[:, factors > 0].any()
    np.testing.assert_allclose(penalty.value(B), TaskGroup(0.5, np.ones(3)).value(B[:, factors > 0]))
    assert penalty.dual_norm(B) is None


def test_zeros_stay_zeros():
    assert not TaskGroup(1.0, np.ones(3)).prox(np.zeros((2, 3)), 1.0).any()


def test_factors_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="one factor"):
        TaskGroup(1.0, np.array([1.0, 2.0]))
