from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from scipy import sparse

from polytask.linear.losses.rows import RowLoss
from polytask.linear.patterns import LabelPattern
from polytask.linear.solvers.mtrl_newton import QuadraticModel, hessians, mtrl_newton_path
from polytask.linear.solvers.relationship_penalty import RelationshipPenalty
from polytask.linear.table import LabelledTable


def labelled(loss, n=40, p=4, q=3, seed=0):
    """A table of classes or counts, with missing labels and weights; X, Y and the weights besides."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 1.5
    Z = (X - 1.5) @ rng.normal(size=(p, 2)) @ rng.normal(size=(2, q)) * 0.5
    Y = rng.poisson(np.exp(Z)) if loss == "poisson" else rng.random((n, q)) < 1 / (1 + np.exp(-Z))
    Y = Y.astype(float)
    Y[rng.random(Y.shape) < 0.2] = np.nan
    weight = rng.uniform(0.5, 2.0, n)
    return LabelledTable.from_arrays(X, Y, weight), X, Y, weight


@pytest.fixture(autouse=True)
def _debug_mode(monkeypatch):
    monkeypatch.setenv("POLYTASK_DEBUG", "1")


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_hessians_are_differences_of_slopes(loss, fit_intercept):
    table = labelled(loss)[0]
    rows = RowLoss(table, loss, fit_intercept)
    rng = np.random.default_rng(1)
    coef, direction = 0.3 * rng.normal(size=rows.shape), rng.normal(size=rows.shape)
    expected = -(rows.at(coef + 1e-5 * direction).slope - rows.at(coef - 1e-5 * direction).slope) / 2e-5
    found = np.einsum("tij,tj->ti", hessians(rows, coef), direction)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    thin = LabelledTable(sparse.csr_matrix(table.X), table.patterns, table.task_names)
    np.testing.assert_allclose(
        hessians(RowLoss(thin, loss, fit_intercept), coef), hessians(rows, coef), rtol=1e-8
    )


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
@pytest.mark.parametrize("pair", [(1.0, 0.5), (0.0, 2.0), (3.0, 0.0)])
@pytest.mark.parametrize("free", [0, 1])
def test_objective_is_cvxpys(loss, pair, free):
    table, X, Y, weight = labelled(loss)
    ridge, coupling = pair
    C, b = cp.Variable((3, 4)), cp.Variable(3)
    total = 0
    for t in range(3):
        known = ~np.isnan(Y[:, t])
        z = X[known] @ C[t] + b[t]
        value = cp.logistic(z) if loss == "logistic" else cp.exp(z)
        total += cp.sum(cp.multiply(weight[known], value - cp.multiply(Y[known, t], z)))
    held = C[:, free:]
    penalty = ridge / 2 * cp.sum_squares(held) + coupling / 2 * cp.square(cp.norm(held, "nuc"))
    best = cp.Problem(cp.Minimize(total + penalty)).solve(solver="CLARABEL")
    rows = RowLoss(table, loss, True)
    path, intercept = mtrl_newton_path(rows, np.arange(4) >= free, np.array([pair]), target=1e-9)
    size = np.linalg.svd(path.coef[0][:, free:], compute_uv=False)
    found = rows.at(path.coef[0]).value + RelationshipPenalty(*pair).value(size)
    assert path.gap[0] <= 1e-9
    assert found == pytest.approx(best, rel=1e-6)
    np.testing.assert_allclose(path.coef[0], C.value, atol=2e-3)
    np.testing.assert_allclose(intercept[0], b.value, atol=5e-3)


def test_the_objective_never_rises(monkeypatch):
    rows = RowLoss(labelled("poisson", seed=2)[0], "poisson", True)
    penalty, seen = RelationshipPenalty(0.0, 1.0), []
    of = QuadraticModel.of

    def recorded(loss, coef, penalised):
        seen.append(loss.at(coef).value + penalty.value(np.linalg.svd(coef, compute_uv=False)))
        return of(loss, coef, penalised)

    monkeypatch.setattr(QuadraticModel, "of", recorded)
    start = 3 * np.random.default_rng(3).normal(size=rows.shape)
    mtrl_newton_path(rows, np.ones(4, dtype=bool), np.array([[0.0, 1.0]]), target=1e-9, start=start)
    assert len(seen) > 3
    assert np.all(np.diff(seen) <= 1e-12 * np.abs(seen[0]))


def test_a_model_without_free_features_is_the_taylor_series():
    rows = RowLoss(labelled("logistic")[0], "logistic", True)
    coef = np.random.default_rng(4).normal(size=rows.shape) * 0.2
    model = QuadraticModel.of(rows, coef, np.ones(4, dtype=bool))
    np.testing.assert_allclose(model.hessian, hessians(rows, coef))
    np.testing.assert_allclose(model.slope, rows.at(coef).slope)
    assert model.decrement == 0


def test_a_task_without_labels_has_no_coefficients():
    table = labelled("logistic", q=2)[0]
    none = LabelPattern(np.arange(0), np.zeros(0), np.array([2]), np.zeros((0, 1)))
    table = LabelledTable(table.X, (*table.patterns, none), ("a", "b", "c"))
    path, _ = mtrl_newton_path(
        RowLoss(table, "logistic", True), np.ones(4, dtype=bool), np.array([[1.0, 1.0]]), target=1e-9
    )
    np.testing.assert_array_equal(path.coef[0, 2], 0.0)
    assert np.abs(path.coef[0, :2]).min() > 0
