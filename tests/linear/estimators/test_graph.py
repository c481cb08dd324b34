from __future__ import annotations

import numpy as np
import pytest
from convex_optimum import labels_for
from problems import wide_problem

from polytask.data import TaskData
from polytask.errors import SettingError
from polytask.linear import GraphRegularized, GraphRegularizedCV, MeanRegularized, TaskRidge
from polytask.linear.estimators.task_graph import laplacian, task_graph

LOSSES = ["squared", "logistic", "poisson"]


def slopes(X, Y, w, fitted, loss):
    """−∂/∂a_t of Σ w ℓ, and of the intercepts."""
    z = X @ fitted.coef_.T + fitted.intercept_
    mean = {"squared": z, "logistic": 1 / (1 + np.exp(-z)), "poisson": np.exp(np.minimum(z, 50))}[loss]
    residual = np.where(np.isnan(Y), 0, Y - mean) * w[:, None]
    return residual.T @ X, residual.sum(axis=0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("graph", ["chain", {("y0", "y1"): 0.3, ("y0", "y3"): 2.0}])
def test_meets_the_optimality_conditions_of_the_documented_objective(loss, graph):
    X, Y = wide_problem(n=40, p=5, q=4, missing=0.3)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    Y, w = labels_for(loss, X, Y), np.random.default_rng(0).uniform(0.5, 2, 40)
    fitted = GraphRegularized(2.0, 3.0, graph=graph, loss=loss, tol=1e-14).fit(X, Y, sample_weight=w)
    slope, level = slopes(X, Y, w, fitted, loss)
    # The gradient of (α/2) [‖A‖² + γ Σ g ‖a_s − a_t‖²].
    L = laplacian(task_graph(graph, fitted.task_names_))
    np.testing.assert_allclose(slope, 2.0 * (fitted.coef_ + 3.0 * L @ fitted.coef_), atol=1e-4)
    np.testing.assert_allclose(level, 0, atol=1e-6)
    assert fitted.dual_gap_ < 1e-8


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_complete_graph_is_mean_regularized(loss, missing):
    X, Y = wide_problem(n=40, p=5, missing=missing)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    Y, alpha, s, T = labels_for(loss, X, Y), 2.0, 0.6, 3
    graph = GraphRegularized(alpha / (1 - s + T * s), s / (1 - s), graph="complete", loss=loss, tol=1e-14)
    mean = MeanRegularized(alpha, s, loss=loss, tol=1e-14)
    np.testing.assert_allclose(graph.fit(X, Y).coef_, mean.fit(X, Y).coef_, atol=1e-6)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_without_strength_it_is_ridge_per_task(missing):
    X, Y = wide_problem(missing=missing)
    ours = GraphRegularized(2.0, 0.0).fit(X, Y)
    np.testing.assert_allclose(ours.coef_, TaskRidge(2.0).fit(X, Y).coef_, atol=1e-7)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_limit_pools_the_tasks_of_each_connected_part(missing):
    X, Y = wide_problem(q=5, missing=missing)
    edges = [("y0", "y2"), ("y2", "y3")]
    ours = GraphRegularized(2.0, 1e9, graph=edges, tol=1e-12).fit(X, Y).coef_
    # One vector for k tasks carries the ridge penalty of all of them.
    pooled = MeanRegularized(2.0 * 3, 1.0).fit(X, Y[:, [0, 2, 3]]).coef_
    np.testing.assert_allclose(ours[[0, 2, 3]], pooled, atol=1e-5)
    np.testing.assert_allclose(ours[[1, 4]], TaskRidge(2.0).fit(X, Y[:, [1, 4]]).coef_, atol=1e-6)


def test_identical_tasks_are_one_task():
    X, Y = wide_problem(q=1)
    ours = GraphRegularized(2.0, 3.0).fit(X, np.repeat(Y, 4, axis=1)).coef_
    np.testing.assert_allclose(ours, np.tile(TaskRidge(2.0).fit(X, Y).coef_, (4, 1)), atol=1e-9)


def test_positive_coefficients_meet_the_optimality_conditions():
    X, Y = wide_problem(q=4, missing=0.3)
    ours = GraphRegularized(2.0, 3.0, positive=True, tol=1e-10, max_iter=100_000).fit(X, Y)
    slope, _ = slopes(X, Y, np.ones(60), ours, "squared")
    L = laplacian(task_graph("chain", ours.task_names_))
    rest = slope - 2.0 * (ours.coef_ + 3.0 * L @ ours.coef_)
    assert ours.coef_.min() == 0
    assert np.abs(rest[ours.coef_ > 0]).max() < 1e-3
    assert rest[ours.coef_ == 0].max() < 1e-3


def smooth_tasks(n_tasks=15, n=12, p=6, seed=0):
    """Tasks in order of time, whose coefficients drift, with their own rows."""
    rng = np.random.default_rng(seed)
    coef = rng.normal(size=p) * 2 + np.cumsum(0.3 * rng.normal(size=(n_tasks, p)), axis=0)
    tables = {}
    for t in range(n_tasks):
        X = rng.normal(size=(n, p))
        tables[f"t{t:02}"] = X, X @ coef[t] + 3 * t + rng.normal(size=n)
    return TaskData.from_dict(tables), coef


def test_temporal_smoothness_beats_ridge_and_the_mean_where_coefficients_drift():
    data, coef = smooth_tasks()
    errors = {
        name: ((model.fit(data).coef_ - coef) ** 2).sum()
        for name, model in {
            "chain": GraphRegularizedCV(n_alphas=8),
            "complete": GraphRegularizedCV(n_alphas=8, graph="complete"),
            "ridge": GraphRegularizedCV(n_alphas=8, graph_strengths=[0.0]),
        }.items()
    }
    assert errors["chain"] < 0.7 * errors["complete"]
    assert errors["chain"] < 0.5 * errors["ridge"]


def test_the_grid_pairs_every_alpha_with_every_strength():
    X, Y = wide_problem()
    chosen = GraphRegularizedCV(alphas=[1.0, 10.0], graph_strengths=[0.0, 2.0], cv=3).fit(X, Y)
    assert sorted(map(tuple, chosen.grid_)) == [(1, 0), (1, 2), (10, 0), (10, 2)]
    assert (chosen.alpha_, chosen.graph_strength_) in set(map(tuple, chosen.grid_))


def test_a_warm_start_takes_no_step():
    X, Y = wide_problem(missing=0.3)
    model = GraphRegularized(2.0, 3.0, tol=1e-8, warm_start=True).fit(X, Y)
    first = model.coef_
    model.fit(X, Y)
    np.testing.assert_allclose(model.coef_, first, atol=1e-12)


def test_bad_settings_are_refused():
    X, Y = wide_problem()
    with pytest.raises(SettingError, match="no task 'z'"):
        GraphRegularized(graph=[("y0", "z")]).fit(X, Y)
    with pytest.raises(SettingError, match="graph_strength must be zero or more; got -1"):
        GraphRegularized(1.0, -1.0).fit(X, Y)
    with pytest.raises(SettingError, match="alpha must be positive"):
        GraphRegularized(0.0).fit(X, Y)
