from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize_scalar

from polytask.linear.losses.kinds import KINDS
from polytask.linear.solvers.dual_ascent import CODES, ascend


def task(loss, m=12, p=5, *, intercept=True, seed=0):
    """Rows, labels, weights, dual variables to start from, and random steps."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(m, p)) * (rng.random((m, p)) < 0.7)
    X[3] = X[4]
    y = {"squared": rng.normal(size=m), "logistic": rng.integers(0, 2, m), "poisson": rng.poisson(1.5, m)}[
        loss
    ]
    y, w = y.astype(float), rng.uniform(0.5, 2.0, m)
    mean = np.average(y, weights=w) if intercept else KINDS[loss].mean(np.zeros(1))[0]
    order = np.concatenate([rng.permutation(m) for _ in range(3)])
    partner = (order + rng.integers(1, m, len(order))) % m if intercept else np.full(len(order), -1)
    return X, y, w, y - mean, order, partner


def compiled(X, y, w, u, coef, kappa, order, partner, loss):
    rows = sparse.csr_matrix(X)
    u, coef = u.copy(), coef.copy()
    norms = np.sum(X**2, axis=1)
    change = ascend(
        rows.indptr, rows.indices, rows.data, norms, y, w, u, coef, kappa, order, partner, CODES[loss]
    )
    return u, change, coef


def local_objective(X, y, w, u, new, coef, kappa, loss):
    """The paper's local problem, by its definition."""
    change = X.T @ (w * (new - u))
    conjugate = KINDS[loss].conjugate(y, -new)
    return -np.sum(w * conjugate) - coef @ change - kappa / 2 * change @ change


def literal(X, y, w, u, coef, kappa, order, partner, loss):
    """Every step by a search along its direction in the local problem."""
    start, u = u, u.copy()
    for i, j in zip(order, partner):
        low, high = -20.0, 20.0
        if loss != "squared":
            high = w[i] * (y[i] - u[i])
            if loss == "logistic":
                low = w[i] * (y[i] - u[i] - 1)
            if j >= 0:
                low = max(low, -w[j] * (y[j] - u[j]))
                if loss == "logistic":
                    high = min(high, -w[j] * (y[j] - u[j] - 1))

        def moved(delta, u=u, i=i, j=j):
            new = u.copy()
            new[i] += delta / w[i]
            if j >= 0:
                new[j] -= delta / w[j]
            return new

        def loss_of(delta, moved=moved):
            return -local_objective(X, y, w, start, moved(delta), coef, kappa, loss)

        best = minimize_scalar(loss_of, bounds=(low, high), method="bounded", options={"xatol": 1e-12})
        u = moved(best.x)
    return u


@pytest.mark.parametrize("loss", list(CODES))
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("kappa", [0.3, 4.0])
def test_steps_are_those_of_a_literal_search(loss, intercept, kappa):
    X, y, w, u, order, partner = task(loss, intercept=intercept)
    coef = np.random.default_rng(1).normal(size=5)
    found, change, ahead = compiled(X, y, w, u, coef, kappa, order, partner, loss)
    expected = literal(X, y, w, u, coef, kappa, order, partner, loss)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(change, X.T @ (w * (found - u)), atol=1e-12)
    np.testing.assert_allclose(ahead, coef + kappa * change, atol=1e-12)


@pytest.mark.parametrize("loss", list(CODES))
@pytest.mark.parametrize("intercept", [True, False])
def test_every_step_raises_the_local_objective_and_stays_feasible(loss, intercept):
    X, y, w, start, order, partner = task(loss, intercept=intercept, seed=2)
    coef, u, values = np.linspace(-1, 1, 5), start.copy(), []
    for i, j in zip(order, partner):
        ahead = coef + 2.0 * X.T @ (w * (u - start))
        u, _, _ = compiled(X, y, w, u, ahead, 2.0, np.array([i]), np.array([j]), loss)
        values.append(local_objective(X, y, w, start, u, coef, 2.0, loss))
        mean = y - u
        assert loss == "squared" or mean.min() >= -1e-12
        assert loss != "logistic" or mean.max() <= 1 + 1e-12
        assert not intercept or abs(w @ u - w @ start) < 1e-10
    assert np.all(np.diff(values) >= -1e-10)
    assert values[-1] > values[0]


@pytest.mark.parametrize("loss", list(CODES))
def test_many_epochs_reach_the_minimum_of_the_primal(loss):
    X, y, w, u, _, _ = task(loss, intercept=False, seed=3)
    rng, kind = np.random.default_rng(4), KINDS[loss]
    order = np.concatenate([rng.permutation(len(y)) for _ in range(2000)])
    alone = np.full(len(order), -1)
    # With c = κ B, the local problem is the dual of ridge regression with penalty 1/κ.
    kappa, coef = 0.5, 0.5 * X.T @ (w * u)
    found, _, coef = compiled(X, y, w, u, coef, kappa, order, alone, loss)
    np.testing.assert_allclose(coef, kappa * X.T @ (w * found), atol=1e-9)
    gradient = X.T @ (w * (kind.mean(X @ coef) - y)) + coef / kappa
    np.testing.assert_allclose(gradient, 0, atol=1e-7)


def test_a_step_against_itself_and_equal_rows_are_harmless():
    X, y, w, u, _, _ = task("logistic")
    same, _, _ = compiled(X, y, w, u, np.zeros(5), 1.0, np.array([2]), np.array([2]), "logistic")
    np.testing.assert_array_equal(same, u)
    # Rows 3 and 4 are equal, so only their labels count: the means meet.
    found, change, _ = compiled(X, y, w, u, np.zeros(5), 1.0, np.array([3]), np.array([4]), "logistic")
    assert (y - found)[3] == pytest.approx((y - found)[4])
    np.testing.assert_allclose(change, 0, atol=1e-12)
