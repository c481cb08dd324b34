from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem
from scipy.optimize import approx_fprime, minimize

from polytask.linear import Moments
from polytask.linear.solvers import reduced_rank
from polytask.linear.solvers.reduced_rank import alternate, inverse_root, truncated
from polytask.linear.solvers.spectral import Spectrum, ridge_path


def ridge(moments, alpha):
    alphas = np.full((1, moments.n_tasks), alpha)
    return ridge_path(Spectrum.of(moments.gram), moments.pattern, moments.xty, alphas)[0]


def solve(moments, alpha, rank, start=None, **settings):
    start = ridge(moments, alpha) if start is None else start
    return alternate(moments.gram, moments.pattern, moments.xty, alpha, rank, start, **settings)


def objective(moments, alpha, coef):
    """½ Σ ‖y − Xb‖² + (α/2) ‖B‖², less a constant, one task at a time."""
    total = alpha * (coef**2).sum() / 2
    for t, b in enumerate(coef):
        total += b @ moments.gram[moments.pattern[t]] @ b / 2 - moments.xty[t] @ b
    return total


@pytest.mark.parametrize("alpha", [0.0, 3.0])
@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_alternation_equals_the_closed_form_where_there_is_one(alpha, rank):
    moments = Moments.from_arrays(*wide_problem(q=4))
    full = ridge(moments, alpha)
    expected = truncated(full, full @ moments.xty.T, rank)
    # From another start, as the closed form is its own.
    start = full + np.random.default_rng(0).normal(size=full.shape)
    np.testing.assert_allclose(solve(moments, alpha, rank, start, tol=1e-10).coef, expected, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.5, 20.0])
@pytest.mark.parametrize("rank", [1, 2])
def test_reaches_the_best_of_many_descents_on_the_factors(alpha, rank):
    moments = Moments.from_arrays(*wide_problem(p=5, q=4, missing=0.4))
    rng = np.random.default_rng(0)

    def of_factors(v):
        A, C = v[: 4 * rank].reshape(4, rank), v[4 * rank :].reshape(rank, 5)
        return objective(moments, alpha, A @ C)

    best = min(minimize(of_factors, rng.normal(size=9 * rank), tol=1e-12).fun for _ in range(5))
    fitted = solve(moments, alpha, rank, tol=1e-10)
    np.testing.assert_allclose(objective(moments, alpha, fitted.coef), best, rtol=1e-8)
    assert np.linalg.matrix_rank(fitted.coef, tol=1e-8) == rank


@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_conjugate_gradients_reach_what_a_factorisation_does(monkeypatch, alpha):
    moments = Moments.from_arrays(*wide_problem(n=80, q=5, missing=0.3))
    direct = solve(moments, alpha, 2, tol=1e-10)
    monkeypatch.setattr(reduced_rank, "_DIRECT", 0)
    monkeypatch.setenv("POLYTASK_DEBUG", "1")
    iterated = solve(moments, alpha, 2, tol=1e-10)
    np.testing.assert_allclose(iterated.coef, direct.coef, atol=1e-7)
    assert iterated.residual <= 1e-10 * np.linalg.norm(moments.xty)


def test_the_residual_is_the_slope_along_the_coefficients_of_the_rank():
    moments = Moments.from_arrays(*wide_problem(p=5, q=4, missing=0.4))
    fitted = solve(moments, 2.0, 2, max_iter=1)
    left, values, right = np.linalg.svd(fitted.coef)
    A, C = left[:, :2] * values[:2], right[:2]
    # C has orthonormal rows: the slope with respect to A is that of moves within the row space.
    along = approx_fprime(A.ravel(), lambda v: objective(moments, 2.0, v.reshape(4, 2) @ C), 1e-6)
    np.testing.assert_allclose(np.linalg.norm(along), fitted.residual, rtol=1e-3)
    basis = np.linalg.qr(A)[0]
    across = approx_fprime(
        (basis.T @ fitted.coef).ravel(), lambda v: objective(moments, 2.0, basis @ v.reshape(2, 5)), 1e-6
    )
    assert np.linalg.norm(across) < 1e-2 * np.linalg.norm(along)
    assert solve(moments, 2.0, 2, tol=1e-9).residual <= 1e-9 * np.linalg.norm(moments.xty)


def test_the_objective_never_rises(monkeypatch):
    monkeypatch.setenv("POLYTASK_DEBUG", "1")
    moments = Moments.from_arrays(*wide_problem(n=25, p=20, q=6, missing=0.4))
    for alpha in (0.0, 1.0):
        assert solve(moments, alpha, 2, tol=1e-7).n_iter > 3


def test_singular_grams_have_finite_coefficients():
    X, Y = wide_problem(n=10, p=20, q=4, missing=0.2)
    X[:, 1], X[:, 2] = X[:, 0], 1.0
    fitted = solve(Moments.from_arrays(X, Y), 0.0, 2)
    assert np.abs(fitted.coef).max() < 100
    np.testing.assert_allclose(fitted.coef[:, 2], 0, atol=1e-12)


def test_inverse_roots_of_what_is_singular_are_refused_whatever_the_scales():
    matrix = np.array([[2.0, 1.0], [1.0, 3.0]])
    scales = np.diag([1.0, 1e6])
    root = inverse_root(scales @ matrix @ scales)
    np.testing.assert_allclose(root @ scales @ matrix @ scales @ root, np.eye(2), atol=1e-6)
    assert inverse_root(np.ones((2, 2))) is None
    assert inverse_root(np.diag([1.0, 0.0])) is None
