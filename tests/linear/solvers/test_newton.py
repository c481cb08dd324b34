from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem
from scipy.optimize import approx_fprime, minimize

from polytask.linear import LabelledTable, Moments
from polytask.linear.losses.gram import GramLoss
from polytask.linear.losses.rows import RowLoss
from polytask.linear.solvers.newton import NewtonSolver, hessian_product, newton_path
from polytask.linear.solvers.task_penalty import TaskPenalty, mean_vectors

KINDS = ["squared", "logistic", "poisson"]


def row_loss(kind, n=30, p=4, missing=0.3, fit_intercept=True):
    X, Y = wide_problem(n=n, p=p, missing=missing)
    scaled = (Y - np.nanmean(Y, axis=0)) / np.nanstd(Y, axis=0)
    if kind == "logistic":
        Y = np.where(np.isnan(Y), np.nan, scaled + np.random.default_rng(0).normal(size=Y.shape) > 0)
    if kind == "poisson":
        Y = np.where(np.isnan(Y), np.nan, np.random.default_rng(0).poisson(np.exp(np.nan_to_num(scaled))))
    weights = np.random.default_rng(1).uniform(0.5, 2, n)
    return RowLoss(LabelledTable.from_arrays(X, Y, weights), kind, fit_intercept)


def random_penalty(seed=0, n_tasks=3):
    vectors = np.linalg.qr(np.random.default_rng(seed).normal(size=(n_tasks, n_tasks)))[0]
    return TaskPenalty(np.array([0.1, 1.0, 30.0])[:n_tasks], vectors)


def objective(loss, penalty, factors):
    """The objective from its definition, with M as a matrix."""

    def of(coef):
        coef = coef.reshape(loss.shape)
        return loss.at(coef).value + np.einsum("sj,st,tj,j->", coef, penalty.matrix, coef, factors) / 2

    return of


def by_quasi_newton(loss, penalty, factors):
    """The least objective that scipy finds."""

    def slope(coef):
        coef = coef.reshape(loss.shape)
        return (penalty.matrix @ coef * factors - loss.at(coef).slope).ravel()

    best = minimize(
        objective(loss, penalty, factors), np.zeros(np.prod(loss.shape)), jac=slope, method="BFGS",
        options={"gtol": 1e-9, "maxiter": 5000},
    )  # fmt: skip
    return best.x.reshape(loss.shape), best.fun


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_products_with_the_hessian_are_differences_of_slopes(kind, fit_intercept):
    loss, rng = row_loss(kind, fit_intercept=fit_intercept), np.random.default_rng(0)
    coef, direction = rng.normal(size=(3, 4)) * 0.2, rng.normal(size=(3, 4))
    expected = approx_fprime(0.0, lambda s: -loss.at(coef + s * direction).slope.ravel(), 1e-6).ravel()
    ours = hessian_product(loss, loss.point(coef))(direction).ravel()
    np.testing.assert_allclose(ours, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "factors", [np.ones(4), np.array([1.0, 0.3, 2.0, 1.0]), np.array([1.0, 0.0, 2.0, 1.0])]
)
def test_reaches_the_minimum_of_a_general_solver(kind, factors):
    loss, penalty = row_loss(kind), random_penalty()
    path = newton_path(loss, [penalty], factors, tol=1e-12)
    coef, least = by_quasi_newton(loss, penalty, factors)
    assert objective(loss, penalty, factors)(path.coef[0]) <= least + 1e-9 * abs(least)
    np.testing.assert_allclose(path.coef[0], coef, atol=1e-4)
    assert path.by_decrement == (not factors.all())


@pytest.mark.parametrize("kind", KINDS)
def test_the_gap_bounds_how_far_the_minimum_is(kind):
    loss, penalty = row_loss(kind), random_penalty()
    value = objective(loss, penalty, np.ones(4))
    least = value(newton_path(loss, [penalty], np.ones(4), tol=1e-14).coef[0])
    rng, far = np.random.default_rng(0), 0
    for start in rng.normal(size=(5, 3, 4)) * 0.3:
        found = newton_path(loss, [penalty], np.ones(4), start=start, tol=0.0, max_iter=0)
        np.testing.assert_allclose(found.coef[0], start)
        assert found.gap[0] >= value(start) - least
        far += value(start) - least > 0.01
    assert far == 5


def test_tasks_with_their_own_grams_solve_the_dense_system():
    moments = Moments.from_arrays(*wide_problem(missing=0.4))
    penalty, factors = random_penalty(), np.linspace(0.5, 2, 8)
    path = newton_path(GramLoss(moments), [penalty], factors, tol=1e-16)
    q, p = moments.xty.shape
    matrix = np.kron(penalty.matrix, np.diag(factors))
    for t in range(q):
        matrix[t * p : (t + 1) * p, t * p : (t + 1) * p] += moments.gram[moments.pattern[t]]
    expected = np.linalg.solve(matrix, moments.xty.ravel()).reshape(q, p)
    np.testing.assert_allclose(path.coef[0], expected, rtol=1e-6, atol=1e-7)
    assert path.n_iter[0] <= 2


def test_weak_and_strong_couplings_of_badly_scaled_tasks_take_few_steps():
    rng = np.random.default_rng(0)
    n_tasks, p = 10, 12
    scales = 10 ** rng.uniform(-1, 1, p)
    X, Y, first = rng.normal(size=(75, p)) * scales, np.full((75, n_tasks), np.nan), 0
    for t in range(n_tasks):
        Y[first : first + 3 + t, t] = rng.normal(size=3 + t)
        first += 3 + t
    moments = Moments.from_arrays(X, Y)
    assert len(moments.gram) == n_tasks
    vectors = mean_vectors(n_tasks)
    for alpha in (1e-6, 1.0, 1e3):
        for apart in (1.0, 1e3, 1e6):
            penalty = TaskPenalty(alpha * np.append(1.0, np.full(n_tasks - 1, apart)), vectors)
            path = newton_path(GramLoss(moments), [penalty], np.ones(p), tol=1e-12)
            assert path.gap[0] <= 1e-12 * moments.yty.sum() / 2
            assert path.n_iter[0] <= 2


def test_an_infinite_penalty_forbids_its_direction_except_where_features_are_unpenalised():
    loss, factors = row_loss("logistic"), np.array([1.0, 1.0, 0.0, 1.0])
    penalty = TaskPenalty(np.array([0.5, np.inf, np.inf]), mean_vectors(3))
    coef = newton_path(loss, [penalty], factors, tol=1e-12).coef[0]
    assert np.ptp(coef[:, [0, 1, 3]], axis=0).max() < 1e-12
    assert np.ptp(coef[:, 2]) > 0.1
    nearly = TaskPenalty(np.array([0.5, 1e9, 1e9]), mean_vectors(3))
    np.testing.assert_allclose(coef, newton_path(loss, [nearly], factors, tol=1e-12).coef[0], atol=1e-5)


def test_without_penalty_the_decrement_estimates_what_is_left():
    loss, free = row_loss("poisson"), TaskPenalty(np.zeros(3), np.eye(3))
    best = newton_path(loss, [free], np.ones(4), tol=1e-14)
    assert best.by_decrement
    near = best.coef[0] + 0.01 * np.random.default_rng(0).normal(size=(3, 4))
    left = loss.at(near).value - loss.at(best.coef[0]).value
    found = newton_path(loss, [free], np.ones(4), start=near, tol=0.0, max_iter=0)
    np.testing.assert_allclose(found.gap[0], left, rtol=0.1)
    np.testing.assert_allclose(NewtonSolver(loss, np.zeros(4)).free_decrement(near), left, rtol=0.1)


def test_a_path_starts_each_solution_at_the_last():
    loss, penalty = row_loss("poisson"), random_penalty()
    alone = newton_path(loss, [penalty], np.ones(4), tol=1e-10)
    path = newton_path(loss, [penalty, penalty], np.ones(4), tol=1e-10)
    assert path.n_iter.tolist() == [alone.n_iter[0], 0]
    np.testing.assert_allclose(path.coef[1], path.coef[0], atol=1e-12)
