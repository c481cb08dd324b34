"""Synthetic tasks are as related as asked for, and follow their formula."""

import math

import numpy as np
import pytest

from polytask.data import TaskData
from polytask.datasets import mmoe_synthetic
from polytask.errors import SettingError

CORRELATIONS = (-1.0, -0.4, 0.0, 0.2, 0.8, 1.0)


def weights(data: TaskData) -> np.ndarray:
    """The two weight vectors of data without sines and noise, which are linear in x."""
    return np.linalg.lstsq(data.X, data.wide_targets(), rcond=None)[0].T


def linear(correlation: float, seed: int = 0, **settings) -> TaskData:
    return mmoe_synthetic(300, correlation, seed, alphas=(), betas=(), noise=0.0, **settings)


@pytest.mark.parametrize("correlation", CORRELATIONS)
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_the_weight_vectors_have_the_cosine_and_the_length_asked_for(correlation, scale):
    w = weights(linear(correlation, scale=scale))
    np.testing.assert_allclose(w @ w.T, scale**2 * np.array([[1, correlation], [correlation, 1]]), atol=1e-12)


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_targets_follow_the_formula_row_by_row(correlation):
    alphas, betas = (0.7, 1.9, 3.1), (0.2, -1.0, 2.5)
    data = mmoe_synthetic(300, correlation, 5, alphas=alphas, betas=betas, noise=0.0)
    plain = linear(correlation, 5)
    np.testing.assert_array_equal(data.X, plain.X)
    for w, task in zip(weights(plain), data.task_names):
        for x, y in zip(data.X, data.targets[task]):
            z = sum(a * b for a, b in zip(w, x))
            expected = z + sum(math.sin(alpha * z + beta) for alpha, beta in zip(alphas, betas))
            assert y == pytest.approx(expected, abs=1e-10)


def test_only_the_second_task_turns_with_the_correlation():
    one, other = mmoe_synthetic(50, 0.2, 3), mmoe_synthetic(50, 0.8, 3)
    np.testing.assert_array_equal(one.X, other.X)
    np.testing.assert_allclose(one.targets["first"], other.targets["first"], atol=1e-12)
    assert np.abs(one.targets["second"] - other.targets["second"]).max() > 0.1


def test_noise_is_each_tasks_own_and_has_the_deviation_asked_for():
    noisy, clean = mmoe_synthetic(4000, 1.0, noise=0.5), mmoe_synthetic(4000, 1.0, noise=0.0)
    np.testing.assert_allclose(clean.targets["first"], clean.targets["second"], atol=1e-12)
    errors = noisy.wide_targets() - clean.wide_targets()
    # 4,000 rows: six standard errors of a standard deviation, and of a correlation
    np.testing.assert_allclose(errors.std(0), 0.5, atol=6 * 0.5 / math.sqrt(2 * 4000))
    assert abs(np.corrcoef(errors.T)[0, 1]) < 6 / math.sqrt(4000)


def test_targets_are_the_more_correlated_the_more_their_weights_are():
    found = [np.corrcoef(mmoe_synthetic(4000, p).wide_targets().T)[0, 1] for p in (0.0, 0.2, 0.5, 0.8, 1.0)]
    assert found == sorted(found)
    assert found[0] < 0.1
    assert found[-1] > 0.999


def test_a_seed_gives_the_same_data_and_another_seed_other_data():
    one, same, other = (mmoe_synthetic(20, 0.5, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.X, same.X)
    np.testing.assert_array_equal(one.wide_targets(), same.wide_targets())
    assert not np.isin(one.X, other.X).any()


def test_it_is_two_regression_tasks_without_missing_labels():
    data = mmoe_synthetic(30, 0.5, n_features=7)
    assert [(t.name, t.kind) for t in data.tasks] == [("first", "regression"), ("second", "regression")]
    assert data.X.shape == (30, 7)
    assert all(len(rows) == 30 for rows in data.rows.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"correlation": 1.2}, r"\[-1, 1\], got 1\.2"),
        ({"correlation": 0.5, "n_features": 1}, "at least 2 features, got n_features=1"),
        ({"correlation": 0.5, "alphas": (1.0, 2.0), "betas": (1.0,)}, "there are 2 and 1 of them"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(SettingError, match=message):
        mmoe_synthetic(10, **settings)
