import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, mean_poisson_deviance

from polytask import Task
from polytask.evaluation.losses import constant_prediction, row_losses

rng = np.random.default_rng(0)


def test_means_agree_with_scikit_learn():
    y, p = rng.integers(0, 2, 50).astype(float), rng.uniform(0.1, 0.9, 50)
    assert np.isclose(row_losses(Task("t", "binary"), y, p, 1000).mean(), log_loss(y, p))
    assert np.isclose(
        row_losses(Task("t", "binary", loss="brier"), y, p, 1000).mean(), brier_score_loss(y, p)
    )
    codes, table = rng.integers(0, 3, 50), rng.dirichlet(np.ones(3) * 5, 50)
    task = Task("t", "multiclass", classes=(0, 1, 2))
    assert np.isclose(row_losses(task, codes, table, 10**9).mean(), log_loss(codes, table), atol=1e-6)
    k, mean = rng.poisson(2, 50).astype(float), rng.uniform(0.5, 4, 50)
    assert np.isclose(
        2 * row_losses(Task("t", "counts"), k, mean, 1000).mean(), mean_poisson_deviance(k, mean)
    )


def test_regression_losses_by_their_definitions():
    y, f = np.array([0.0, 0.0, 10.0]), np.array([1.0, -2.0, 0.0])
    np.testing.assert_array_equal(row_losses(Task("t", "regression"), y, f, 9), [1, 4, 100])
    np.testing.assert_array_equal(
        row_losses(Task("t", "regression", loss="absolute_error"), y, f, 9), [1, 2, 10]
    )
    huber = row_losses(Task("t", "regression", loss="huber"), y, f, 9, scale=2.0)
    np.testing.assert_allclose(huber, [4 * 0.5 * 0.25, 4 * 0.5 * 1.0, 4 * 1.345 * (5 - 0.5 * 1.345)])


def test_certainty_beyond_laplaces_rule_is_not_believed():
    loss = row_losses(Task("t", "binary"), np.array([1.0]), np.array([0.0]), n_train=98)
    assert np.isclose(loss[0], np.log(100))


def test_soft_targets_and_missing_labels():
    y = np.array([[1.0, np.nan], [0.0, 1.0]])
    p = np.full((2, 2), 0.25)
    losses = row_losses(Task("t", "multilabel", classes=(0, 1)), y, p, 1000)
    np.testing.assert_allclose(losses, [-np.log(0.25), -(np.log(0.75) + np.log(0.25)) / 2])
    soft = row_losses(Task("t", "binary", soft=True), np.array([0.3]), np.array([0.3]), 1000)
    assert np.isclose(soft[0], -(0.3 * np.log(0.3) + 0.7 * np.log(0.7)))


@pytest.mark.parametrize("kind", ["regression", "binary", "counts"])
def test_no_constant_beats_the_constant_prediction(kind):
    task = Task("t", kind)
    y = {"regression": rng.normal(size=60), "binary": rng.integers(0, 2, 60), "counts": rng.poisson(2, 60)}[
        kind
    ].astype(float)
    best = constant_prediction(task, y, np.ones(60), 60)
    for shift in (-0.05, 0.05):
        assert row_losses(task, y, best, 1000).mean() < row_losses(task, y, best + shift, 1000).mean()
