from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest

from polytask.linear.solvers.mtrl import RotatedGrams, given_features, given_tasks, mtrl_path
from polytask.linear.solvers.relationship_penalty import task_covariance
from polytask.linear.solvers.spectral import Spectrum, ridge_path


def tables(n=12, p=4, q=3, *, own=True, rank=2, scale=1.0, seed=0):
    """X_t and y_t of q tasks with coefficients of low rank; one X for all unless `own`."""
    rng = np.random.default_rng(seed)
    coef = rng.normal(size=(q, rank)) @ rng.normal(size=(rank, p))
    spread = np.geomspace(1.0, scale, p)
    shared = rng.normal(size=(n, p)) * spread
    X = [rng.normal(size=(n, p)) * spread if own else shared for _ in range(q)]
    return X, [x @ b + rng.normal(size=n) for x, b in zip(X, coef)]


def moments(X, y):
    gram = np.stack([x.T @ x for x in X])
    pattern = np.arange(len(X))
    if all(x is X[0] for x in X):
        gram, pattern = gram[:1], np.zeros(len(X), dtype=int)
    return gram, pattern, np.stack([x.T @ z for x, z in zip(X, y)])


def objective(X, y, coef, ridge, coupling):
    loss = sum(np.sum((z - x @ b) ** 2) for x, z, b in zip(X, y, coef)) / 2
    trace_norm = np.linalg.svd(coef, compute_uv=False).sum()
    return loss + ridge / 2 * np.sum(coef**2) + coupling / 2 * trace_norm**2


@pytest.fixture(autouse=True)
def _debug_mode(monkeypatch):
    monkeypatch.setenv("POLYTASK_DEBUG", "1")


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("shape", [(12, 3, 5), (12, 5, 3), (4, 6, 3)])
@pytest.mark.parametrize("pair", [(2.0, 1.0), (0.0, 3.0), (0.0, 0.05), (0.1, 30.0)])
def test_objective_is_cvxpys(own, shape, pair):
    n, p, q = shape
    X, y = tables(n, p, q, own=own)
    ridge, coupling = pair
    C = cp.Variable((q, p))
    # The best Ω turns the last term of the model into the squared trace norm.
    penalty = ridge / 2 * cp.sum_squares(C) + coupling / 2 * cp.square(cp.norm(C, "nuc"))
    loss = sum(cp.sum_squares(z - x @ C[t]) for t, (x, z) in enumerate(zip(X, y))) / 2
    best = cp.Problem(cp.Minimize(loss + penalty)).solve(solver="CLARABEL")
    path = mtrl_path(*moments(X, y), np.array([pair]), target=1e-9)
    found = objective(X, y, path.coef[0], ridge, coupling)
    assert path.gap[0] <= 1e-9
    assert found == pytest.approx(best, rel=1e-6)


def alternation_of_the_paper(X, y, ridge, coupling, n_iter):
    """C given Ω by solving all q·p equations at once, then Ω; literally."""
    q, p = len(X), X[0].shape[1]
    covariance = np.eye(q) / q
    for _ in range(n_iter):
        system = np.kron(ridge * np.eye(q) + coupling * np.linalg.inv(covariance), np.eye(p))
        for t, x in enumerate(X):
            system[t * p : (t + 1) * p, t * p : (t + 1) * p] += x.T @ x
        right = np.concatenate([x.T @ z for x, z in zip(X, y)])
        coef = np.linalg.solve(system, right).reshape(q, p)
        covariance = task_covariance(coef)
    return coef, covariance


def test_the_papers_alternation_converges_to_the_same_solution():
    X, y = tables(n=30, p=5, q=3, rank=3)
    coef, covariance = alternation_of_the_paper(X, y, 0.5, 2.0, 400)
    found = mtrl_path(*moments(X, y), np.array([[0.5, 2.0]]), target=1e-12).coef[0]
    np.testing.assert_allclose(found, coef, atol=1e-5)
    np.testing.assert_allclose(task_covariance(found), covariance, atol=1e-6)


def test_no_covariance_and_coefficients_are_jointly_better():
    X, y = tables(n=30, p=5, q=3, rank=3)
    coef = mtrl_path(*moments(X, y), np.array([[0.5, 2.0]]), target=1e-12).coef[0]

    def joint(coef, covariance):
        residual = sum(np.sum((z - x @ b) ** 2) for x, z, b in zip(X, y, coef)) / 2
        return residual + 0.25 * np.sum(coef**2) + np.trace(coef.T @ np.linalg.solve(covariance, coef))

    best, rng = task_covariance(coef), np.random.default_rng(0)
    for _ in range(20):
        root = np.linalg.cholesky(best) + 0.02 * rng.normal(size=(3, 3))
        other = root @ root.T / np.trace(root @ root.T)
        assert joint(coef + 0.02 * rng.normal(size=coef.shape), other) > joint(coef, best)


def test_it_leaves_the_range_that_traps_an_alternation_of_more_tasks_than_features():
    X, y = tables(n=8, p=2, q=6, rank=2)
    ridge, coupling = 0.0, 0.5
    coef = np.stack([np.linalg.solve(x.T @ x + 3 * np.eye(2), x.T @ z) for x, z in zip(X, y)])
    grams = RotatedGrams.of(*moments(X, y)[:2])
    xty = moments(X, y)[2] @ grams.basis
    trapped = coef @ grams.basis
    for _ in range(500):
        left, values, _ = np.linalg.svd(trapped, full_matrices=False)
        slope = xty - grams.times(trapped)
        trapped = given_tasks(grams, trapped, slope, left, values / (coupling * values.sum()))
    stuck = objective(X, y, trapped @ grams.basis.T, ridge, coupling)
    path = mtrl_path(*moments(X, y), np.array([[ridge, coupling]]), target=1e-10, start=coef)
    assert objective(X, y, path.coef[0], ridge, coupling) < stuck - 1e-3


@pytest.mark.parametrize("own", [True, False])
def test_both_steps_solve_their_normal_equations(own):
    X, y = tables(n=10, p=4, q=3, own=own)
    gram, pattern, xty = moments(X, y)
    grams = RotatedGrams.of(gram, pattern)
    turned = xty @ grams.basis
    coef = np.random.default_rng(1).normal(size=xty.shape)
    left, values, right = np.linalg.svd(coef @ grams.basis, full_matrices=False)
    found = given_features(grams, turned, right, values) @ grams.basis.T
    inverse = np.linalg.pinv(grams.basis @ (right.T * values) @ right @ grams.basis.T, hermitian=True)
    slope = xty - np.einsum("tij,tj->ti", gram[pattern], found) - found @ inverse
    np.testing.assert_allclose(grams.basis @ right.T @ (right @ grams.basis.T @ slope.T), 0, atol=1e-9)
    start = coef @ grams.basis
    for _ in range(40):
        start = given_tasks(grams, start, turned - grams.times(start), left, values)
    found = start @ grams.basis.T
    slope = xty - np.einsum("tij,tj->ti", gram[pattern], found)
    np.testing.assert_allclose(slope - (left / values) @ left.T @ found, 0, atol=1e-7)


def test_without_coupling_it_is_ridge():
    X, y = tables()
    gram, pattern, xty = moments(X, y)
    path = mtrl_path(gram, pattern, xty, np.array([[3.0, 0.0], [0.0, 0.0]]), target=1e-9)
    expected = ridge_path(Spectrum.of(gram), pattern, xty, np.array([[3.0] * 3, [0.0] * 3]))
    np.testing.assert_allclose(path.coef, expected, atol=1e-12)


def test_one_task_is_ridge_with_the_sum_of_both_penalties():
    X, y = tables(q=1)
    gram, pattern, xty = moments(X, y)
    path = mtrl_path(gram, pattern, xty, np.array([[1.0, 2.5]]), target=1e-13)
    np.testing.assert_allclose(path.coef[0, 0], np.linalg.solve(gram[0] + 3.5 * np.eye(4), xty[0]), atol=1e-6)


def test_identical_tasks_are_one_pooled_ridge_and_have_a_covariance_of_rank_one():
    X, y = tables(q=1)
    X, y = X * 4, y * 4
    path = mtrl_path(*moments(X, y), np.array([[0.0, 5.0]]), target=1e-13)
    pooled = np.linalg.solve(4 * X[0].T @ X[0] + 4 * 5.0 * np.eye(4), 4 * X[0].T @ y[0])
    np.testing.assert_allclose(path.coef[0], np.tile(pooled, (4, 1)), atol=1e-6)
    np.testing.assert_allclose(task_covariance(path.coef[0]), np.full((4, 4), 0.25), atol=1e-8)


def test_unrelated_tasks_in_orthogonal_features_share_nothing_but_the_trace():
    gram, pattern = np.eye(3)[None] * 4.0, np.zeros(3, dtype=int)
    path = mtrl_path(gram, pattern, 6.0 * np.eye(3), np.array([[0.0, 2.0]]), target=1e-13)
    # σ = (6 − 2 · 3σ) / 4
    np.testing.assert_allclose(path.coef[0], 0.6 * np.eye(3), atol=1e-7)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("shape", [(20, 8, 15), (20, 15, 8)])
def test_badly_scaled_features_converge_to_eleven_digits(own, shape):
    n, p, q = shape
    X, y = tables(n, p, q, own=own, rank=2, scale=1e-3)
    null = sum(z @ z for z in y) / 2
    grid = np.array([[0.0, 1.0], [0.1, 0.05], [0.0, 1e-3]])
    path = mtrl_path(*moments(X, y), grid, target=1e-11 * null, max_iter=1000)
    assert np.all(path.gap <= 1e-11 * null)
    assert path.n_iter.max() < 500


def test_tasks_without_data_and_constant_features():
    X, y = tables()
    X, y = [*X, np.zeros((5, 4))], [*y, np.zeros(5)]
    for x in X:
        x[:, 1] = 0.0
    path = mtrl_path(*moments(X, y), np.array([[1.0, 1.0]]), target=1e-10)
    np.testing.assert_array_equal(path.coef[0, 3], 0.0)
    np.testing.assert_allclose(path.coef[0, :, 1], 0.0, atol=1e-15)


def test_a_warm_start_takes_fewer_rounds():
    X, y = tables(n=20, p=6, q=5)
    arguments, pair = moments(X, y), np.array([[0.1, 2.0]])
    cold = mtrl_path(*arguments, pair, target=1e-8)
    warm = mtrl_path(*arguments, pair, target=1e-8, start=cold.coef[0])
    assert warm.n_iter[0] == 1 < cold.n_iter[0]


def test_patterns_that_some_tasks_share_are_each_their_own_gram():
    X, y = tables(n=10, p=4, q=5)
    X[3], X[4] = X[1], X[1]
    gram, _, xty = moments(X, y)
    grid = np.array([[0.3, 1.0]])
    apart = mtrl_path(gram, np.arange(5), xty, grid, target=1e-11)
    # In another order, and with a Gram that no task has.
    shared = mtrl_path(gram[[2, 1, 0, 4]], np.array([2, 1, 0, 1, 1]), xty, grid, target=1e-11)
    np.testing.assert_allclose(shared.coef, apart.coef, atol=1e-5)
    backwards = mtrl_path(gram[::-1], np.arange(5)[::-1], xty, grid, target=1e-11)
    np.testing.assert_allclose(backwards.coef, apart.coef, atol=1e-5)
