from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem
from row_oracles import labelled_problem
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from polytask.linear import GroupLasso, LabelledTable
from polytask.linear.losses.ridged import Ridged
from polytask.linear.losses.rows import RowLoss
from polytask.linear.penalties.base import NonNegative
from polytask.linear.penalties.group import Group
from polytask.linear.penalties.l1 import L1
from polytask.linear.solvers.proximal import proximal_path
from polytask.linear.solvers.proximal_newton import proximal_newton_path, weighted_grams

KINDS = ["logistic", "poisson"]


def row_loss(kind, n=50, p=6, *, fit_intercept=True, as_sparse=False, seed=0):
    X, Y, w = labelled_problem(kind, n, p, seed=seed)
    X = sparse.csr_matrix(X) if as_sparse else X
    return RowLoss(LabelledTable.from_arrays(X, Y, w), kind, fit_intercept)


def own_rows_loss(kind, sizes=(30, 3, 12), p=4):
    rng = np.random.default_rng(3)
    Y = np.full((sum(sizes), len(sizes)), np.nan)
    ends = np.cumsum(sizes)
    for t, (end, size) in enumerate(zip(ends, sizes)):
        Y[end - size : end, t] = np.resize([0.0, 1.0, 1.0, 0.0], size)
    return RowLoss(LabelledTable.from_arrays(rng.normal(size=(len(Y), p)), Y), kind)


def levels(loss, by_task, shares=(0.5, 0.1, 0.02)):
    slope = loss.at(np.zeros(loss.shape)).slope
    largest = np.abs(slope).max(axis=1) if by_task else np.linalg.norm(slope, axis=0).max()
    return np.multiply.outer(shares, largest)


def penalty_of(norm, factors, positive=False):
    plain = L1(norm, factors) if np.ndim(norm) else Group(float(norm), factors)
    return NonNegative(plain) if positive else plain


def value_at(loss, coef, norm, ridge, factors):
    smooth = Ridged(loss, np.multiply.outer(ridge, factors))
    return smooth.at(coef).value + penalty_of(norm, factors).value(coef)


def least_value(loss, norm, ridge, factors, positive=False, start=None):
    """By proximal gradient steps."""
    path = proximal_path(
        Ridged(loss, np.multiply.outer(ridge, factors)),
        lambda point: [penalty_of(norm, factors, positive)],
        np.array([0.0]), start=start, tol=1e-11, max_iter=30_000,
    )  # fmt: skip
    return value_at(loss, path.components[0, 0], norm, ridge, factors), path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by_task", [False, True])
@pytest.mark.parametrize(
    ("ridge", "positive", "fit_intercept"),
    [(0.0, False, True), (0.4, False, True), (0.0, True, True), (0.0, False, False), (0.4, True, False)],
)
def test_minimum_is_that_of_proximal_gradient_steps(kind, by_task, ridge, positive, fit_intercept):
    loss = row_loss(kind, fit_intercept=fit_intercept)
    factors = np.array([1.0, 0.5, 2.0, 1.0, 1.0, 0.1])
    norms = levels(loss, by_task)
    ridges = ridge * norms
    path = proximal_newton_path(loss, norms, ridges, factors, 1.0, positive=positive, tol=1e-10)
    assert np.all(path.gap <= 1e-10 * path.null)
    for coef, norm, rho in zip(path.coef, norms, ridges):
        least, _ = least_value(loss, norm, rho, factors, positive)
        assert value_at(loss, coef, norm, rho, factors) == pytest.approx(least, rel=1e-8)
        assert not positive or coef.min() >= 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by_task", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_gap_bounds_the_distance_to_the_minimum(kind, by_task, ridge):
    loss, factors = row_loss(kind), np.ones(6)
    norms = levels(loss, by_task, (0.05,))
    best = proximal_newton_path(loss, norms, ridge * norms, factors, 1.0, tol=1e-12)
    least = value_at(loss, best.coef[0], norms[0], ridge * norms[0], factors)
    for steps in (0, 1, 2):
        path = proximal_newton_path(loss, norms, ridge * norms, factors, 1.0, tol=1e-12, max_iter=steps)
        value = value_at(loss, path.coef[0], norms[0], ridge * norms[0], factors)
        assert path.n_iter[0] == steps
        assert -1e-10 <= value - least <= path.gap[0] + 1e-10


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_equals_scikit_learn(l1_ratio):
    X, Y, w = labelled_problem("logistic", n=80, p=6, missing=0.0)
    loss = RowLoss(LabelledTable.from_arrays(X, Y, w), "logistic", fit_intercept=False)
    strengths = np.array([2.0, 5.0, 1.0])
    path = proximal_newton_path(
        loss, l1_ratio * strengths[None], (1 - l1_ratio) * strengths[None], np.ones(6), 1.0, tol=1e-12
    )
    for t, strength in enumerate(strengths):
        peer = LogisticRegression(
            C=1 / strength, l1_ratio=l1_ratio, solver="saga", fit_intercept=False,
            tol=1e-10, max_iter=20_000,
        )  # fmt: skip
        peer.fit(X, Y[:, t], w)
        np.testing.assert_allclose(path.coef[0, t], peer.coef_[0], atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by_task", [False, True])
def test_unpenalised_features_are_optimal(kind, by_task):
    loss = row_loss(kind)
    factors = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    norms = levels(loss, by_task, (0.2, 0.05))
    path = proximal_newton_path(loss, norms, 0.0, factors, 1.0, tol=1e-10)
    assert np.all(path.gap <= 1e-10 * path.null)
    for coef, norm in zip(path.coef, norms):
        slope = loss.at(coef).slope
        assert np.abs(slope[:, factors == 0]).max() < 1e-6 * path.null[0]
        least, _ = least_value(loss, norm, 0.0 * norm, factors)
        assert value_at(loss, coef, norm, 0.0 * norm, factors) == pytest.approx(least, rel=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by_task", [False, True])
def test_screening_of_many_features_loses_none(kind, by_task):
    loss, factors = row_loss(kind, n=40, p=400), np.ones(400)
    norms = levels(loss, by_task, (0.7, 0.5, 0.2))
    path = proximal_newton_path(loss, norms, 0.0, factors, 1.0, tol=1e-9)
    assert np.all(path.gap <= 1e-9 * path.null)
    # A cold start at the weakest penalty finds the same minimum.
    cold = proximal_newton_path(loss, norms[-1:], 0.0, factors, 1.0, tol=1e-9)
    zero = 0.0 * norms[-1]
    assert value_at(loss, cold.coef[0], norms[-1], zero, factors) == pytest.approx(
        value_at(loss, path.coef[-1], norms[-1], zero, factors), rel=1e-8
    )
    least, _ = least_value(loss, norms[-1], zero, factors, start=path.coef[-1] * 0.9)
    assert value_at(loss, path.coef[-1], norms[-1], zero, factors) == pytest.approx(least, rel=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by_task", [False, True])
def test_tasks_with_rows_of_their_own(kind, by_task):
    loss, factors = own_rows_loss(kind), np.ones(4)
    norms = levels(loss, by_task, (0.3, 0.05))
    path = proximal_newton_path(loss, norms, 0.0, factors, 1.0, tol=1e-9)
    assert np.all(path.gap <= 1e-9 * path.null)
    for coef, norm in zip(path.coef, norms):
        least, _ = least_value(loss, norm, 0.0 * norm, factors)
        assert value_at(loss, coef, norm, 0.0 * norm, factors) == pytest.approx(least, rel=1e-8)


def test_large_counts():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 5))
    Y = rng.poisson(np.exp(9 + X @ rng.normal(size=(5, 2)))).astype(float)
    loss = RowLoss(LabelledTable.from_arrays(X, Y), "poisson")
    norms = levels(loss, False, (0.1, 1e-3, 1e-5))
    path = proximal_newton_path(loss, norms, 0.0, np.ones(5), 1.0, tol=1e-9)
    assert np.all(path.gap <= 1e-9 * path.null)
    # Without much of a penalty the score equations hold: expected totals are the observed ones.
    expected = np.exp(X @ path.coef[-1].T + path.intercept[-1])
    np.testing.assert_allclose(expected.sum(axis=0), Y.sum(axis=0), rtol=1e-8)
    np.testing.assert_allclose(X.T @ expected, X.T @ Y, atol=2 * norms[-1])


@pytest.mark.parametrize("by_task", [False, True])
def test_separable_labels_end_soon(by_task):
    X = np.linspace(-1, 1, 20)[:, None] * np.array([1.0, 0.5])
    Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.3]).astype(float)
    loss = RowLoss(LabelledTable.from_arrays(X, Y), "logistic")
    norms = levels(loss, by_task, (1e-7,))
    path = proximal_newton_path(loss, norms, 0.0, np.ones(2), 1.0, tol=1e-6)
    assert path.n_iter[0] <= 100
    assert np.all(np.isfinite(path.coef))
    assert 0 <= path.gap[0] < 1e-3 * path.null[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("as_sparse", [False, True])
def test_weighted_grams_are_hessians(kind, fit_intercept, as_sparse):
    loss = row_loss(kind, fit_intercept=fit_intercept, as_sparse=as_sparse)
    coef = np.random.default_rng(0).normal(size=loss.shape) / 3
    features = np.array([4, 0, 3])
    gram, _ = weighted_grams(loss, loss.point(coef), features)
    step = 1e-5
    for column, j in enumerate(features):
        move = np.zeros(loss.shape)
        move[:, j] = step
        change = (loss.at(coef - move).slope - loss.at(coef + move).slope) / (2 * step)
        np.testing.assert_allclose(gram[:, :, column], change[:, features], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_sparse_tables_give_the_same(kind):
    factors, norms = np.ones(6), levels(row_loss(kind), False)
    dense, sparse_ = (
        proximal_newton_path(row_loss(kind, as_sparse=flag), norms, 0.0, factors, 1.0, tol=1e-11)
        for flag in (False, True)
    )
    np.testing.assert_allclose(dense.coef, sparse_.coef, atol=1e-6)


def test_a_strong_penalty_takes_no_steps_and_a_solution_is_kept():
    loss, factors = row_loss("logistic"), np.ones(6)
    norms = levels(loss, False, (1.001, 0.1))
    path = proximal_newton_path(loss, norms, 0.0, factors, 1.0, tol=1e-8)
    assert path.n_iter[0] == 0
    assert not path.coef[0].any()
    again = proximal_newton_path(loss, norms[1:], 0.0, factors, 1.0, start=path.coef[1], tol=1e-8)
    assert again.n_iter[0] == 0
    np.testing.assert_array_equal(again.coef[0], path.coef[1])


@pytest.mark.parametrize("by_task", [False, True])
def test_a_task_of_one_class_has_no_coefficients(by_task):
    X, Y, w = labelled_problem("logistic")
    Y[~np.isnan(Y[:, 1]), 1] = 1.0
    loss = RowLoss(LabelledTable.from_arrays(X, Y, w), "logistic")
    start = np.ones(loss.shape)
    norms = levels(loss, False, (0.1,))[:, None] * np.ones(3) if by_task else levels(loss, False, (0.1,))
    path = proximal_newton_path(loss, norms, 0.0, np.ones(8), 1.0, start=start, tol=1e-9)
    np.testing.assert_allclose(path.coef[0, 1], 0.0, atol=1e-8)
    assert path.coef[0, 0].any()
    assert path.gap[0] <= 1e-9 * path.null[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_objective_never_rises(kind, monkeypatch):
    monkeypatch.setenv("POLYTASK_DEBUG", "1")
    loss = row_loss(kind)
    far = np.full(loss.shape, 5.0)
    norms = levels(loss, False, (0.01,))
    path = proximal_newton_path(loss, norms, 0.0, np.ones(6), 1.0, start=far, tol=1e-10)
    cold = proximal_newton_path(loss, norms, 0.0, np.ones(6), 1.0, tol=1e-10)
    assert path.gap[0] <= 1e-10 * path.null[0]
    np.testing.assert_allclose(path.coef, cold.coef, atol=1e-5)


def test_models_take_newton_steps():
    X, Y = wide_problem(n=60, p=5)
    Y = np.greater(Y, np.median(Y, axis=0)).astype(float)
    model = GroupLasso(0.01, loss="logistic", tol=1e-10).fit(X, Y)
    assert model.n_iter_ < 20  # proximal gradient steps take hundreds
    assert model.dual_gap_ < 1e-9
