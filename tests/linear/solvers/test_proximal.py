from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem

from polytask.linear import LabelledTable, Moments
from polytask.linear.losses.gram import GramLoss
from polytask.linear.losses.rows import RowLoss
from polytask.linear.penalties.base import Free, NonNegative
from polytask.linear.penalties.group import Group
from polytask.linear.penalties.l1 import L1
from polytask.linear.solvers.proximal import proximal_path

KINDS = ("gram", "squared", "logistic", "poisson")
each_kind = pytest.mark.parametrize("kind", KINDS)


def loss_of(kind, fit_intercept=True, n=40, p=6, q=3):
    X, Y = wide_problem(n, p, q)
    X, rng = X - X.mean(axis=0), np.random.default_rng(1)
    Z = (Y - Y.mean(axis=0)) / Y.std(axis=0)
    if kind == "logistic":
        Z = (rng.random(Z.shape) < 1 / (1 + np.exp(-Z))).astype(float)
    elif kind == "poisson":
        Z = rng.poisson(np.exp(Z / 2)).astype(float)
    Z[rng.random(Z.shape) < 0.2] = np.nan
    w = rng.uniform(0.2, 2, n)
    if kind == "gram":
        moments = Moments.from_arrays(X, Z, w)
        return GramLoss(moments if fit_intercept else moments.about_zero())
    return RowLoss(LabelledTable.from_arrays(X, Z, w), kind, fit_intercept)


def ista(loss, penalties):
    """Plain proximal gradient with a step that no backtracking is needed for: the literal twin."""
    W = np.zeros((len(penalties), *loss.shape))
    known = isinstance(loss, GramLoss) or loss.kind.curvature is not None
    curvature = (1 if known else 4) * loss.curvature * len(penalties)
    for _ in range(1000 if known else 6000):
        slope = loss.at(W.sum(axis=0)).slope
        W = np.stack([p.prox(part + slope / curvature, 1 / curvature) for p, part in zip(penalties, W)])
    return W


def objective(loss, penalties, W):
    return loss.at(W.sum(axis=0)).value + sum(p.value(part) for p, part in zip(penalties, W))


def strength(loss, share):
    return share * np.linalg.norm(loss.at(np.zeros(loss.shape)).slope, axis=0).max()


@each_kind
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_minimum_is_that_of_plain_proximal_gradient(kind, fit_intercept):
    loss = loss_of(kind, fit_intercept)
    for penalty in (Group(strength(loss, 0.1), np.ones(6)), NonNegative(L1(strength(loss, 0.1), np.ones(6)))):
        path = proximal_path(loss, lambda _, used=penalty: [used], np.ones(1), tol=1e-12)
        twin = ista(loss, [penalty])
        assert not path.by_residual
        np.testing.assert_allclose(path.components[0], twin, atol=1e-5)
        found, best = (objective(loss, [penalty], W) for W in (path.components[0], twin))
        assert found <= best + 1e-9 * loss.null


@each_kind
def test_the_gap_bounds_the_distance_to_the_minimum(kind):
    loss = loss_of(kind)
    penalty = Group(strength(loss, 0.05), np.ones(6))
    best = objective(
        loss, [penalty], proximal_path(loss, lambda _: [penalty], np.ones(1), tol=1e-13).components[0]
    )
    for max_iter in (1, 2, 3, 5, 10, 20):
        path = proximal_path(loss, lambda _: [penalty], np.ones(1), tol=0.0, max_iter=max_iter)
        excess = objective(loss, [penalty], path.components[0]) - best
        assert -1e-11 * loss.null <= excess <= path.gap[0] + 1e-11 * loss.null
    assert path.gap[0] < 1e-2 * loss.null


@each_kind
def test_a_path_is_its_points_one_by_one(kind):
    loss = loss_of(kind)
    grid = strength(loss, 1.0) * np.geomspace(1.0, 0.01, 6)
    path = proximal_path(loss, lambda a: [Group(a, np.ones(6))], grid, tol=1e-12)
    assert not path.components[0].any()
    assert path.n_iter[0] == 0
    for k, alpha in enumerate(grid):
        alone = proximal_path(loss, lambda a: [Group(a, np.ones(6))], np.array([alpha]), tol=1e-12)
        np.testing.assert_allclose(path.components[k], alone.components[0], atol=1e-6)
        if kind != "gram":
            np.testing.assert_allclose(path.intercept[k], alone.intercept[0], atol=1e-6)
    assert np.all(path.gap <= 1e-12 * path.null)


@each_kind
def test_components_add_up(kind):
    loss = loss_of(kind)
    penalties = [L1(strength(loss, 0.1), np.ones(6)), Group(strength(loss, 0.13), np.ones(6))]
    path = proximal_path(loss, lambda _: penalties, np.ones(1), tol=1e-12)
    W = path.components[0]
    slope = loss.at(W.sum(axis=0)).slope
    for penalty, part in zip(penalties, W):  # a step of the proximal gradient leads nowhere
        np.testing.assert_allclose(penalty.prox(part + slope / 50, 1 / 50), part, atol=1e-5)
    assert objective(loss, penalties, W) <= objective(loss, penalties, ista(loss, penalties))
    assert path.components[0][0].any()
    assert path.components[0][1].any()


@each_kind
def test_unpenalised_features_have_a_true_gap(kind):
    loss = loss_of(kind)
    penalty = Group(strength(loss, 0.1), np.array([0.0, 1, 1, 1, 1, 1]))
    exact = ista(loss, [penalty])
    best = objective(loss, [penalty], exact)
    for tol in (1e-2, 1e-4, 1e-10):
        path = proximal_path(loss, lambda _: [penalty], np.ones(1), tol=tol)
        assert not path.by_residual
        excess = objective(loss, [penalty], path.components[0]) - best
        assert -1e-10 * loss.null <= excess <= path.gap[0] + 1e-10 * loss.null
        assert path.gap[0] <= tol * path.null[0]
    np.testing.assert_allclose(path.components[0], exact, atol=1e-5)


@each_kind
def test_without_a_dual_norm_the_residual_is_the_measure(kind):
    loss = loss_of(kind)
    penalty = NonNegative(Group(strength(loss, 0.1), np.array([0.0, 1, 1, 1, 1, 1])))
    path = proximal_path(loss, lambda _: [penalty], np.ones(1), tol=1e-10)
    assert path.by_residual
    W = path.components[0, 0]
    slope = loss.at(W).slope
    assert slope[:, 0].max() <= 1e-8 * path.null[0]
    np.testing.assert_allclose(penalty.prox(W + slope / 50, 1 / 50), W, atol=1e-7)
    assert path.gap[0] <= 1e-10 * path.null[0]
    np.testing.assert_allclose(path.null[0], np.linalg.norm(loss.at(np.zeros((3, 6))).slope))


def test_a_small_residual_is_not_enough_with_collinear_features():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    X[:, 1] = X[:, 0] + 0.02 * rng.normal(size=60)
    Y = X @ np.array([[2.0, -1.5, 1, 0]]).T + 0.01 * rng.normal(size=(60, 1))
    loss = GramLoss(Moments.from_table(LabelledTable.from_arrays(X, Y)))
    path = proximal_path(loss, lambda _: [Free()], np.ones(1), tol=1e-4)
    assert path.by_residual
    best = loss.at(np.linalg.solve(loss.gram[0], loss.xty[0])[None]).value
    assert loss.at(path.components[0, 0]).value - best < 1e-4 * loss.null


def test_nothing_to_explain_has_no_gap():
    loss = GramLoss(Moments.from_table(LabelledTable.from_arrays(np.eye(4)[:, :2], np.ones((4, 3)))))
    path = proximal_path(loss, lambda _: [Group(1.0, np.ones(2))], np.ones(1))
    assert path.gap[0] == 0
    assert not path.components.any()


def test_no_penalty_is_least_squares():
    loss = loss_of("gram")
    path = proximal_path(loss, lambda _: [Free()], np.ones(1), tol=1e-12, max_iter=50_000)
    for t, coef in enumerate(path.components[0, 0]):
        np.testing.assert_allclose(coef, np.linalg.solve(loss.gram[loss.pattern[t]], loss.xty[t]), rtol=1e-6)


@each_kind
def test_tolerances_beyond_reach_end(kind):
    loss = loss_of(kind)
    path = proximal_path(loss, lambda _: [L1(strength(loss, 0.1), np.ones(6))], np.ones(1), tol=0.0)
    assert path.n_iter[0] < 10_000
    assert path.gap[0] <= 1e-12 * path.null[0]


@each_kind
def test_the_solution_as_start_takes_no_iteration(kind):
    loss = loss_of(kind)
    penalty = Group(strength(loss, 0.1), np.ones(6))
    first = proximal_path(loss, lambda _: [penalty], np.ones(1), tol=1e-9)
    again = proximal_path(loss, lambda _: [penalty], np.ones(1), start=first.components[0, 0], tol=1e-9)
    assert first.n_iter[0] > 0
    assert again.n_iter[0] == 0


@each_kind
def test_the_objective_falls_along_the_iterations(kind):
    loss = loss_of(kind)
    penalty = Group(strength(loss, 0.01), np.ones(6))
    values = []
    for max_iter in range(0, 60, 3):
        path = proximal_path(loss, lambda _: [penalty], np.ones(1), tol=0.0, max_iter=max_iter)
        values.append(objective(loss, [penalty], path.components[0]))
    # Momentum may overshoot a little before it restarts.
    assert np.all(np.diff(values) <= 0.02 * (values[0] - values[-1]))
    assert values[-1] <= values[0]


def test_separable_classes_and_a_tiny_penalty_stay_finite():
    X = np.random.default_rng(0).normal(size=(30, 4)) * 100
    Y = np.column_stack([X[:, 0] > 0, X[:, 1] > X[:, 0]]).astype(float)
    loss = RowLoss(LabelledTable.from_arrays(X, Y), "logistic")
    with np.errstate(over="raise", invalid="raise"):
        path = proximal_path(loss, lambda _: [Group(1e-6, np.ones(4))], np.ones(1), max_iter=3000)
    assert np.isfinite(path.components).all()
    assert loss.at(path.components[0, 0]).value < 1e-2 * loss.null


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_counts_with_large_predictors_stay_finite(fit_intercept):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)) * 30
    Y = rng.poisson(np.exp(np.clip(X @ np.array([[0.2], [0.1], [0.0]]), None, 8))).astype(float)
    loss = RowLoss(LabelledTable.from_arrays(X, Y), "poisson", fit_intercept)
    penalty = L1(1.0, np.ones(3))
    path = proximal_path(
        loss, lambda _: [penalty], np.ones(1), start=np.full((1, 3), 0.5), tol=1e-9, max_iter=20_000
    )
    assert path.gap[0] <= 1e-9 * path.null[0]
    assert np.isfinite(path.components).all()
