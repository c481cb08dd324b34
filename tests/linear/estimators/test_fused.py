from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from convex_optimum import data_loss, labels_for, optimum
from problems import wide_problem

from polytask.errors import SettingError
from polytask.linear import FusedTasks, FusedTasksCV, GroupLasso, TaskLasso
from polytask.linear.estimators.task_graph import edges_of, task_graph


def penalty_of(alpha, share, graph, names):
    """The documented penalty, for numbers and for cvxpy's variables."""
    first, second, weights = edges_of(task_graph(graph, names))

    def of(B):
        differences = sum(w * cp.norm1(B[s] - B[t]) for s, t, w in zip(first, second, weights))
        return alpha * (share * cp.norm1(B) + (1 - share) * differences)

    return of


@pytest.mark.parametrize(
    ("loss", "positive"), [("squared", False), ("squared", True), ("logistic", False), ("poisson", True)]
)
@pytest.mark.parametrize("graph", ["chain", [("y0", "y2", 0.5), ("y1", "y2")]])
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_reaches_the_optimum_of_a_general_solver(loss, positive, graph, share):
    X, Y = wide_problem(n=40, p=5, missing=0.3)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    Y, w = labels_for(loss, X, Y), np.random.default_rng(0).uniform(0.5, 2, 40)
    alpha = 0.05
    fitted = FusedTasks(alpha, share, graph=graph, loss=loss, positive=positive, tol=1e-9)
    fitted.fit(X, Y, sample_weight=w)
    penalty = penalty_of(alpha, share, graph, fitted.task_names_)
    best = optimum(X, Y, penalty, w, loss, positive=positive)
    ours = data_loss(X, Y, fitted.coef_, fitted.intercept_, w, loss) + float(penalty(fitted.coef_).value)
    assert abs(ours - best) < 1e-6 * abs(best)
    if share > 0 or not positive:
        assert fitted.dual_gap_ >= ours - best - 1e-9


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("seed", range(3))
def test_differences_alone_of_collinear_features_have_a_true_gap(loss, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(80, 8)) + rng.normal(size=8)
    X[:, 1], X[:, 2] = 2 * X[:, 0], X[:, 0] + 1e-3 * rng.normal(size=80)
    Y = X @ rng.normal(size=(4, 8)).T / 2 + rng.normal(size=(80, 4))
    if loss == "logistic":
        Y = (Y.mean(axis=0) < Y).astype(float)
    Y[np.arange(4) != rng.integers(0, 4, size=80)[:, None]] = np.nan
    fitted = FusedTasks(0.1, 0.0, loss=loss).fit(X, Y)
    penalty = penalty_of(0.1, 0.0, "chain", fitted.task_names_)
    best = optimum(X, Y, penalty, loss=loss)
    ours = data_loss(X, Y, fitted.coef_, fitted.intercept_, loss=loss) + float(penalty(fitted.coef_).value)
    assert ours - best <= fitted.dual_gap_ + 1e-6 * best
    assert ours - best <= 1e-4 * best


@pytest.mark.parametrize("graph", ["chain", [("y0", "y2"), ("y1", "y3")]])
def test_positive_differences_alone_start_where_only_common_vectors_are_left(graph):
    X, Y = wide_problem(n=80, missing=0.2, q=4)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    settings = {"graph": graph, "positive": True}
    most = FusedTasksCV(l1_ratios=[0.0], n_alphas=2, cv=2, **settings).fit(X, Y).grid_[0, 0]
    linked = [(0, 1), (1, 2)] if graph == "chain" else [(0, 2), (1, 3)]

    def spread(strength):
        coef = FusedTasks(strength, 0.0, tol=1e-8, **settings).fit(X, Y).coef_
        return max(np.abs(coef[s] - coef[t]).max() for s, t in linked)

    assert spread(most * 1.001) < 1e-5
    assert spread(most * 0.97) > 1e-5


def test_a_share_of_one_is_the_lasso():
    X, Y = wide_problem()
    ours, lasso = FusedTasks(0.1, 1.0, tol=1e-10).fit(X, Y), TaskLasso(0.1, tol=1e-10).fit(X, Y)
    np.testing.assert_allclose(ours.coef_, lasso.coef_, atol=1e-5)


def test_one_task_is_the_lasso():
    X, Y = wide_problem(q=1)
    ours = FusedTasks(0.1, 0.5, tol=1e-10).fit(X, Y[:, 0])
    np.testing.assert_allclose(ours.coef_, GroupLasso(0.05, tol=1e-10).fit(X, Y[:, 0]).coef_, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("graph", ["chain", "complete"])
def test_the_grid_starts_where_the_penalty_leaves_nothing(share, graph):
    X, Y = wide_problem(n=80, missing=0.2, q=4)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    chosen = FusedTasksCV(l1_ratios=[share], n_alphas=5, graph=graph, cv=2).fit(X, Y)
    most = chosen.grid_[0, 0]

    def spread(strength):
        return np.ptp(FusedTasks(strength, share, graph=graph, tol=1e-10).fit(X, Y).coef_, axis=0).max()

    assert spread(most * 1.0001) < 1e-6
    if share == 0:
        assert spread(most * 0.98) > 1e-5
    if share > 0:
        assert not FusedTasks(most * 1.0001, share, graph=graph).fit(X, Y).coef_.any()
        assert FusedTasks(most * 0.98, share, graph=graph, tol=1e-9).fit(X, Y).coef_.any()


def steps_in_time(n_tasks=12, n=25, p=8, seed=0):
    """Coefficients that are constant but for one change, three features of which matter."""
    rng = np.random.default_rng(seed)
    coef = np.zeros((n_tasks, p))
    coef[:5, :3], coef[5:, :3] = [2.0, -1.0, 1.0], [-2.0, 1.0, 1.0]
    tables = {}
    for t in range(n_tasks):
        X = rng.normal(size=(n, p))
        tables[f"t{t:02}"] = X, X @ coef[t] + rng.normal(size=n) * 1.5
    return tables, coef


def test_finds_when_coefficients_change():
    tables, coef = steps_in_time()
    fused = FusedTasksCV(l1_ratios=[0.05, 0.2], n_alphas=15, eps=0.02, cv=3).fit(tables)
    apart = FusedTasksCV(l1_ratios=[1.0], n_alphas=15, eps=0.02, cv=3).fit(tables)
    assert ((fused.coef_ - coef) ** 2).sum() < 0.4 * ((apart.coef_ - coef) ** 2).sum()
    change = np.abs(np.diff(fused.coef_, axis=0)).sum(axis=1)
    assert change.argmax() == 4
    assert np.median(change) < 0.2 * change[4]


@pytest.mark.parametrize("share", [-0.1, 1.1, np.nan])
def test_shares_outside_their_range_are_refused(share):
    with pytest.raises(SettingError, match="l1_ratio must lie between 0"):
        FusedTasks(0.1, share).fit(*wide_problem())
