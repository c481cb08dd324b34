from __future__ import annotations

import numpy as np
import pytest
from convex_optimum import labels_for
from problems import wide_problem
from sklearn.metrics import adjusted_rand_score

from polytask.errors import SettingError
from polytask.linear import ConvexClustered, ConvexClusteredCV, MeanRegularized, TaskRidge
from polytask.linear.solvers.cluster_penalty import ClusterPenalty

LOSSES = ["squared", "logistic", "poisson"]


@pytest.fixture(autouse=True)
def _assert_that_rounds_descend(monkeypatch):
    monkeypatch.setenv("POLYTASK_DEBUG", "1")


def clustered_tasks(n_tasks=12, n=20, p=8, noise=1.0, seed=0):
    """Three clusters of tasks with their own rows."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n_tasks) % 3
    coef = rng.normal(size=(3, p))[labels] * 1.5 + 0.1 * rng.normal(size=(n_tasks, p))
    tables = {}
    for t in range(n_tasks):
        X = rng.normal(size=(n, p))
        tables[f"t{t:02}"] = X, X @ coef[t] + t + noise * rng.normal(size=n)
    return tables, coef, labels


def labels_of(groups, names):
    return [next(k for k, group in enumerate(groups) if name in group) for name in names]


def test_finds_the_clusters_and_beats_ridge():
    tables, coef, labels = clustered_tasks()
    fitted = ConvexClusteredCV(n_clusters=3, n_alphas=8).fit(tables)
    apart = ConvexClusteredCV(n_clusters=3, n_alphas=8, cluster_strengths=[0.0]).fit(tables)
    assert adjusted_rand_score(labels, labels_of(fitted.groups_, fitted.task_names_)) == 1
    assert fitted.groups_[0] == ("t00", "t03", "t06", "t09")
    assert fitted.cluster_strength_ > 0
    assert ((fitted.coef_ - coef) ** 2).sum() < 0.6 * ((apart.coef_ - coef) ** 2).sum()
    # Tasks of one cluster have correlated coefficients, those of different clusters have not.
    spread = np.sqrt(np.diag(fitted.task_covariance_))
    correlation = fitted.task_covariance_ / np.outer(spread, spread)
    same = (labels[:, None] == labels) & ~np.eye(12, dtype=bool)
    assert correlation[same].min() > 0.5
    assert np.abs(correlation[labels[:, None] != labels]).max() < 0.3


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("positive", [False, True])
def test_meets_the_optimality_conditions_of_the_documented_objective(loss, positive):
    X, Y = wide_problem(n=40, p=5, q=4, missing=0.3)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    Y, w = labels_for(loss, X, Y), np.random.default_rng(0).uniform(0.5, 2, 40)
    fitted = ConvexClustered(2.0, 5.0, loss=loss, positive=positive, tol=1e-11, max_iter=50_000)
    fitted.fit(X, Y, sample_weight=w)
    z = X @ fitted.coef_.T + fitted.intercept_
    mean = {"squared": z, "logistic": 1 / (1 + np.exp(-z)), "poisson": np.exp(np.minimum(z, 50))}[loss]
    residual = np.where(np.isnan(Y), 0, Y - mean) * w[:, None]
    # The gradient for the best M; task_covariance_ is (I + γM) / (1 + γ).
    rest = residual.T @ X - 2.0 * np.linalg.solve(fitted.task_covariance_, fitted.coef_)
    np.testing.assert_allclose(residual.sum(axis=0), 0, atol=1e-6)
    assert np.abs(rest[fitted.coef_ != 0]).max() < 1e-2
    if positive:
        assert fitted.coef_.min() == 0
        assert rest[fitted.coef_ == 0].max() < 1e-2
    else:
        assert fitted.dual_gap_ < 1e-7


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("settings", [{"cluster_strength": 0.0}, {"n_clusters": 3}, {"n_clusters": 9}])
def test_without_strength_or_with_a_cluster_for_each_task_it_is_ridge(missing, settings):
    X, Y = wide_problem(missing=missing)
    ours = ConvexClustered(2.0, tol=1e-13).set_params(**settings).fit(X, Y)
    np.testing.assert_allclose(ours.coef_, TaskRidge(2.0).fit(X, Y).coef_, atol=1e-5)


def test_one_strong_cluster_of_equal_tasks_is_pooled_ridge():
    X, Y = wide_problem(q=1)
    ours = ConvexClustered(2.0, 1e4, n_clusters=1, tol=1e-12).fit(X, np.repeat(Y, 3, axis=1))
    pooled = MeanRegularized(6.0, 1.0).fit(X, np.repeat(Y, 3, axis=1))
    np.testing.assert_allclose(ours.coef_, pooled.coef_, atol=1e-5)
    assert ours.groups_ == (("y0", "y1", "y2"),)


def test_unpenalised_features_of_a_logistic_fit_have_no_slope_left():
    X, Y = wide_problem(n=80, p=4, q=4)
    labels = labels_for("logistic", X, Y)
    factors = np.array([1.0, 0.0, 1.0, 2.0])
    fitted = ConvexClustered(2.0, 5.0, loss="logistic", penalty_factors=factors, tol=1e-11).fit(X, labels)
    probability = 1 / (1 + np.exp(-fitted.decision_function(X)))
    slope = (labels - probability).T @ X
    np.testing.assert_allclose(slope[:, 1], 0, atol=1e-3)
    pull = 2.0 * np.linalg.solve(fitted.task_covariance_, fitted.coef_) * factors
    np.testing.assert_allclose(slope[:, [0, 2, 3]], pull[:, [0, 2, 3]], atol=1e-2)


def test_scaled_targets_give_the_covariance_in_their_units():
    X, Y = wide_problem()
    units = np.array([1.0, 100.0, 0.01])
    one = ConvexClustered(2.0, scale_targets=True, tol=1e-12).fit(X, Y)
    other = ConvexClustered(2.0, scale_targets=True, tol=1e-12).fit(X, Y * units)
    np.testing.assert_allclose(
        other.task_covariance_, one.task_covariance_ * np.outer(units, units), rtol=1e-4
    )
    np.testing.assert_allclose(other.coef_, one.coef_ * units[:, None], rtol=1e-4)
    assert other.groups_ == one.groups_


def test_the_penalty_grows_with_its_strengths_and_shrinks_with_the_number_of_clusters():
    coef = np.random.default_rng(0).normal(size=(5, 6))
    base = ClusterPenalty(1.0, 3.0, 2).value(coef)
    assert ClusterPenalty(2.0, 3.0, 2).value(coef) == pytest.approx(2 * base)
    assert ClusterPenalty(1.0, 4.0, 2).value(coef) > base
    assert ClusterPenalty(1.0, 3.0, 3).value(coef) < base


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "two"])
def test_numbers_of_clusters_that_make_no_sense_are_refused(k):
    with pytest.raises(SettingError, match="n_clusters must be a whole number"):
        ConvexClustered(n_clusters=k).fit(*wide_problem())


def test_the_gap_is_that_of_the_documented_objective():
    tables = clustered_tasks()[0]
    settings = {"alpha": 2.0, "cluster_strength": 10.0, "n_clusters": 3}

    def objective(model):
        squares = sum(
            ((y - X @ b - b0) ** 2).sum()
            for (X, y), b, b0 in zip(tables.values(), model.coef_, model.intercept_)
        )
        penalty = ClusterPenalty(2.0, 10.0, 3)
        return squares + 2 * penalty.value(model.coef_)

    best = objective(ConvexClustered(**settings, tol=1e-12).fit(tables))
    for tol in (0.3, 0.03, 0.003):
        rough = ConvexClustered(**settings, tol=tol).fit(tables)
        assert objective(rough) - best <= rough.dual_gap_ * (1 + 1e-9)
