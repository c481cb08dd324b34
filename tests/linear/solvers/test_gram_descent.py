from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from problems import wide_problem
from sklearn.linear_model import Lasso

from polytask.errors import SettingError
from polytask.linear import Moments
from polytask.linear.solvers.gram_descent import group_path, lasso_paths
from polytask.linear.solvers.working_set import minimise_block


def problem(**settings):
    moments = Moments.from_arrays(*wide_problem(**settings))
    m = moments.task_weight.mean()
    return moments.gram / m, moments.pattern, moments.xty / m, moments.yty / m


def duality_gap(gram, pattern, xty, yty, coef, alpha, factors, ridge=0.0):
    """From the definition, with the Cholesky factors of the Grams as data: X_tᵀX_t = G_t, X_tᵀy_t = c_t."""
    primal, explained, norm2, correlations = 0.0, 0.0, 0.0, []
    for t, b in enumerate(coef):
        G = gram[pattern[t]] + ridge * np.eye(len(b))
        primal += 0.5 * (yty[t] - 2 * xty[t] @ b + b @ G @ b)
        explained += yty[t] - xty[t] @ b
        norm2 += yty[t] - 2 * xty[t] @ b + b @ G @ b
        correlations.append(xty[t] - G @ b)
    penalty = alpha * (factors * np.linalg.norm(coef, axis=0)).sum()
    limit = alpha / (np.linalg.norm(correlations, axis=0) / factors).max()
    scale = np.clip(explained / norm2, -limit, limit)
    return primal + penalty - (scale * explained - scale**2 / 2 * norm2)


def twin(gram, pattern, xty, alpha, factors, n_sweeps=3000):
    """Plain block coordinate descent with proximal steps, no working set, no acceleration."""
    coef = np.zeros_like(xty)
    for _ in range(n_sweeps):
        for j in range(xty.shape[1]):
            slope = np.array([xty[t, j] - gram[pattern[t], j] @ coef[t] for t in range(len(xty))])
            curvature = gram[:, j, j].max()
            if curvature == 0:
                continue
            target = coef[:, j] + slope / curvature
            size = np.linalg.norm(target)
            coef[:, j] = target * max(0.0, 1 - alpha * factors[j] / curvature / max(size, 1e-300))
    return coef


@pytest.mark.parametrize("missing", [0.0, 0.4], ids=["shared Gram", "own Grams"])
@pytest.mark.parametrize("factors", [None, np.linspace(0.5, 2, 8)], ids=["plain", "factors"])
def test_the_path_equals_plain_coordinate_descent(missing, factors):
    gram, pattern, xty, yty = problem(missing=missing)
    largest = np.linalg.norm(xty, axis=0).max()
    alphas = largest * np.array([0.5, 0.1, 0.01])
    path = group_path(gram, pattern, xty, yty.sum(), alphas, penalty_factors=factors, tol=1e-13)
    f = np.ones(8) if factors is None else factors
    for alpha, coef in zip(alphas, path.coef):
        np.testing.assert_allclose(coef, twin(gram, pattern, xty, alpha, f), atol=1e-6)


@pytest.mark.parametrize(
    "settings", [{"missing": 0.3}, {"n": 25, "p": 60, "correlation": 0.9}, {"n": 25, "p": 60, "missing": 0.3}]
)
def test_the_gap_is_true_and_small(settings):
    gram, pattern, xty, yty = problem(**settings)
    factors = np.random.default_rng(0).uniform(0.5, 2, xty.shape[1])
    alphas = np.linalg.norm(xty, axis=0).max() * np.geomspace(1, 1e-2, 20)
    path = group_path(gram, pattern, xty, yty.sum(), alphas, penalty_factors=factors, tol=1e-6)
    for alpha, coef, gap in zip(alphas, path.coef, path.gap):
        true = duality_gap(gram, pattern, xty, yty, coef, alpha, factors)
        np.testing.assert_allclose(gap, true, rtol=1e-4, atol=1e-12 * yty.sum())
        assert true <= 1e-6 * path.null + 1e-12


def test_a_ridge_term_is_a_diagonal():
    gram, pattern, xty, yty = problem(missing=0.3)
    alpha, ridge = 0.1, 0.7
    path = group_path(gram + ridge * np.eye(8), pattern, xty, yty.sum(), np.array([alpha]), tol=1e-12)
    gap = duality_gap(gram, pattern, xty, yty, path.coef[0], alpha, np.ones(8), ridge)
    assert abs(gap) <= 1e-11 * path.null


def test_lasso_paths_solve_each_task_alone():
    gram, pattern, xty, yty = problem(missing=0.3)
    alphas = np.abs(xty).max(axis=1) * np.geomspace(1, 1e-3, 10)[:, None]
    together = lasso_paths(gram, pattern, xty, yty, alphas, tol=1e-12)
    for t in range(3):
        G = gram[pattern[t]]
        for k in range(10):
            b, slope = together.coef[k, t], xty[t] - G @ together.coef[k, t]
            active = b != 0
            np.testing.assert_allclose(slope[active], alphas[k, t] * np.sign(b[active]), atol=1e-5)
            assert np.all(np.abs(slope[~active]) <= alphas[k, t] * (1 + 1e-5))


def test_starting_from_the_solution_takes_one_check_and_any_start_ends_there():
    gram, pattern, xty, yty = problem(missing=0.2)
    alpha = np.array([0.05])
    cold = group_path(gram, pattern, xty, yty.sum(), alpha, tol=1e-12)
    warm = group_path(gram, pattern, xty, yty.sum(), alpha, tol=1e-10, start=cold.coef[0])
    assert warm.n_iter[0] == 0
    wild = group_path(gram, pattern, xty, yty.sum(), alpha, tol=1e-13, start=np.full_like(xty, 3.0))
    np.testing.assert_allclose(wild.coef, cold.coef, atol=1e-5)


def test_an_increasing_path_is_solved_as_well():
    gram, pattern, xty, yty = problem()
    up = group_path(gram, pattern, xty, yty.sum(), np.array([0.01, 0.1, 0.5]), tol=1e-12)
    down = group_path(gram, pattern, xty, yty.sum(), np.array([0.5, 0.1, 0.01]), tol=1e-12)
    np.testing.assert_allclose(up.coef, down.coef[::-1], atol=1e-5)


def test_arguments_are_left_alone():
    gram, pattern, xty, yty = problem(missing=0.2)
    before = gram.copy(), xty.copy()
    group_path(gram, pattern, xty, yty.sum(), np.array([0.01]))
    lasso_paths(gram, pattern, xty, yty, np.full((1, 3), 0.01))
    np.testing.assert_array_equal(gram, before[0])
    np.testing.assert_array_equal(xty, before[1])


def test_too_few_sweeps_are_reported():
    gram, pattern, xty, yty = problem(n=30, p=40, correlation=0.99)
    path = group_path(gram, pattern, xty, yty.sum(), np.array([1e-4]), tol=1e-10, max_iter=5)
    assert path.n_iter[0] == 5
    assert path.gap[0] > 1e-10 * path.null


def test_constant_features_and_targets_get_zeros():
    X, Y = wide_problem()
    X[:, 2], Y[:, 1] = 3.0, 1.0
    moments, alpha = Moments.from_arrays(X, Y), np.array([0.1])
    path = group_path(
        moments.gram, moments.pattern, moments.xty, moments.yty.sum(), np.array([0.1]), tol=1e-12
    )
    assert not path.coef[0][:, 2].any()
    assert not path.coef[0][1].any()
    flat = group_path(moments.gram, moments.pattern, 0 * moments.xty, 0.0, alpha)
    assert not flat.coef.any()
    assert flat.gap[0] == 0


@pytest.mark.parametrize("seed", range(20))
def test_block_minimum_has_zero_gradient_for_any_curvatures(seed):
    rng = np.random.default_rng(seed)
    slope, hess, block = rng.normal(size=5), 10 ** rng.uniform(-6, 6, 5), np.empty(5)
    hess[0] = 0.0
    slope[0] = 0.0
    threshold = np.linalg.norm(slope) * rng.uniform(0.01, 0.999)
    minimise_block(slope, hess, threshold, block)
    gradient = hess * block - slope + threshold * block / np.linalg.norm(block)
    np.testing.assert_allclose(gradient, 0, atol=1e-9)
    minimise_block(slope, hess, np.linalg.norm(slope) * 1.001, block)
    assert not block.any()


def penalised_optimum(gram, pattern, xty, yty, alpha, factors, *, ridge=0.0, positive=False):
    """The least objective by an independent solver."""
    B = cp.Variable(xty.shape)
    loss = sum(cp.quad_form(B[t], cp.psd_wrap(gram[pattern[t]])) / 2 - xty[t] @ B[t] for t in range(len(xty)))
    norms = cp.norm(B, axis=0)
    problem = cp.Problem(
        cp.Minimize(
            loss + yty / 2 + alpha * factors @ norms + ridge / 2 * factors @ cp.sum(cp.square(B), axis=0)
        ),
        [B >= 0] if positive else [],
    )
    return problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)


def objective(gram, pattern, xty, yty, coef, alpha, factors, ridge=0.0):
    value = (
        yty / 2 + alpha * factors @ np.linalg.norm(coef, axis=0) + ridge / 2 * factors @ (coef**2).sum(axis=0)
    )
    for t, b in enumerate(coef):
        value += b @ gram[pattern[t]] @ b / 2 - xty[t] @ b
    return value


@pytest.mark.parametrize("missing", [0.0, 0.4], ids=["shared Gram", "own Grams"])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize(
    ("free", "positive"),
    [(False, False), (True, False), (False, True)],
    ids=["plain", "two features free", "positive"],
)
def test_the_objective_is_the_independent_optimum(missing, ridge, free, positive):
    gram, pattern, xty, yty = problem(missing=missing)
    factors = np.linspace(0.5, 2, 8)
    if free:
        factors[[1, 6]] = 0.0
    alphas = np.linalg.norm(xty, axis=0).max() * np.array([0.5, 0.1, 0.01])
    path = group_path(
        gram,
        pattern,
        xty,
        yty.sum(),
        alphas,
        penalty_factors=factors,
        ridge=ridge,
        positive=positive,
        tol=1e-12,
    )
    for alpha, coef, gap in zip(alphas, path.coef, path.gap):
        arguments = (alpha, factors)
        best = penalised_optimum(gram, pattern, xty, yty.sum(), *arguments, ridge=ridge, positive=positive)
        found = objective(gram, pattern, xty, yty.sum(), coef, *arguments, ridge=ridge)
        assert abs(found - best) <= 1e-7 * path.null
        assert gap <= 1e-11 * path.null
    if positive:
        assert path.coef.min() == 0
        assert (path.coef > 0).any()


@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize(("free", "positive"), [(False, False), (True, False), (False, True)])
def test_the_gap_bounds_the_distance_from_the_optimum(ridge, positive, free):
    gram, pattern, xty, yty = problem(missing=0.3)
    factors = np.ones(8)
    factors[2] = 0.0 if free else 1.0
    alphas = np.linalg.norm(xty, axis=0).max() * np.array([0.3, 0.03])
    best = [
        penalised_optimum(gram, pattern, xty, yty.sum(), alpha, factors, ridge=ridge, positive=positive)
        for alpha in alphas
    ]
    for n_sweeps in (1, 2, 4):
        path = group_path(
            gram, pattern, xty, yty.sum(), alphas, penalty_factors=factors, ridge=ridge, positive=positive,
            tol=1e-12, max_iter=n_sweeps,
        )  # fmt: skip
        for alpha, coef, gap, least in zip(alphas, path.coef, path.gap, best):
            found = objective(gram, pattern, xty, yty.sum(), coef, alpha, factors, ridge)
            assert found - least <= gap + 1e-9 * path.null


def test_a_ridge_may_change_along_the_path():
    gram, pattern, xty, yty = problem(missing=0.3)
    alphas, ridges = np.array([0.5, 0.2, 0.1, 0.05]), np.array([2.0, 0.5, 0.3, 0.0])
    path = group_path(gram, pattern, xty, yty.sum(), alphas, ridge=ridges, tol=1e-13)
    for alpha, ridge, coef in zip(alphas, ridges, path.coef):
        alone = group_path(gram, pattern, xty, yty.sum(), np.array([alpha]), ridge=ridge, tol=1e-13)
        np.testing.assert_allclose(coef, alone.coef[0], atol=1e-6)


def test_positive_with_unpenalised_features_is_refused():
    gram, pattern, xty, yty = problem()
    factors = np.array([1.0, 1, 1, 0, 1, 1, 1, 1])
    with pytest.raises(SettingError, match="feature 3"):
        group_path(gram, pattern, xty, yty.sum(), np.array([0.1]), penalty_factors=factors, positive=True)


def test_only_unpenalised_features_make_least_squares():
    gram, pattern, xty, yty = problem(missing=0.3)
    path = group_path(gram, pattern, xty, yty.sum(), np.array([1.0]), penalty_factors=np.zeros(8))
    for t in range(len(xty)):
        np.testing.assert_allclose(path.coef[0, t], np.linalg.solve(gram[pattern[t]], xty[t]))


def test_positive_lasso_is_scikit_learns():
    X, Y = wide_problem(n=40, p=60)
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    alphas = np.full((1, 3), 0.2)
    ours = lasso_paths(
        (X.T @ X)[None] / 40, np.zeros(3, dtype=int), Y.T @ X / 40, (Y**2).sum(axis=0) / 40, alphas,
        positive=True, tol=1e-13,
    )  # fmt: skip
    for t in range(3):
        theirs = Lasso(0.2, fit_intercept=False, positive=True, tol=1e-13, max_iter=100_000).fit(X, Y[:, t])
        np.testing.assert_allclose(ours.coef[0, t], theirs.coef_, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"positive": True}, {"ridge": np.linspace(1, 0, 40)}])
def test_a_long_path_ends_where_its_last_penalty_alone_does(settings):
    """Whatever starts each penalty, such as the line through the last two solutions."""
    gram, pattern, xty, yty = problem(n=40, p=60, correlation=0.9)
    alphas = np.linalg.norm(xty, axis=0).max() * np.geomspace(1, 1e-2, 40)
    path = group_path(gram, pattern, xty, yty.sum(), alphas, tol=1e-11, **settings)
    last = {name: value[-1:] if name == "ridge" else value for name, value in settings.items()}
    alone = group_path(gram, pattern, xty, yty.sum(), alphas[-1:], tol=1e-11, **last)
    ends = [
        objective(gram, pattern, xty, yty.sum(), coef, alphas[-1], np.ones(60))
        for coef in (path.coef[-1], alone.coef[0])
    ]
    assert abs(ends[0] - ends[1]) <= 1e-10 * path.null
