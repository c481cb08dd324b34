from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem

from polytask.errors import SettingError
from polytask.linear.solvers import residual_descent
from polytask.linear.solvers.gram_descent import group_path
from polytask.linear.solvers.residual_descent import residual_path


def rows(n=30, p=80, q=3, **settings):
    X, Y = wide_problem(n, p, q, **settings)
    return X - X.mean(axis=0), Y - Y.mean(axis=0)


def from_gram(X, Y, alphas, weights=None, **settings):
    w = np.ones(len(X)) if weights is None else weights
    gram, xty = (X.T * w) @ X, (Y.T * w) @ X
    pattern = np.zeros(Y.shape[1], dtype=int)
    return group_path(gram[None], pattern, xty, float(w @ (Y**2).sum(axis=1)), alphas, **settings)


def grid(X, Y, n=20, eps=1e-2):
    return np.linalg.norm(Y.T @ X, axis=0).max() * np.geomspace(1, eps, n)


def objective(X, Y, coef, alpha, factors, ridge=0.0, weights=None):
    w = np.ones(len(X)) if weights is None else weights
    size = np.linalg.norm(coef, axis=0)
    return w @ ((Y - X @ coef.T) ** 2).sum(axis=1) / 2 + factors @ (alpha * size + ridge / 2 * size**2)


@pytest.fixture(params=[0, 1, 3], ids=["residuals only", "residuals later", "Gram"])
def gram_up_to(request, monkeypatch):
    monkeypatch.setattr(residual_descent, "_GRAM_UP_TO", request.param)


@pytest.mark.usefixtures("gram_up_to")
@pytest.mark.parametrize("q", [1, 3])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"positive": True},
        {"ridge": 0.5},
        {"ridge": np.linspace(5, 0, 20), "positive": True},
        {"weights": np.random.default_rng(0).uniform(0, 2, 30)},
        {"penalty_factors": np.random.default_rng(1).uniform(0.3, 2, 80)},
        {"penalty_factors": np.where(np.arange(80) % 20 == 3, 0.0, 1.0)},
        {"penalty_factors": np.where(np.arange(80) % 20 == 3, 0.0, 1.0), "ridge": 0.5},
    ],
    ids=[
        "plain",
        "positive",
        "ridge",
        "falling ridge, positive",
        "weights",
        "factors",
        "free",
        "free, ridge",
    ],
)
def test_the_path_is_that_of_the_gram(q, settings):
    X, Y = rows(q=q)
    alphas = grid(X, Y)
    ours = residual_path(X, Y, alphas, tol=1e-10, **settings)
    theirs = from_gram(X, Y, alphas, tol=1e-10, **settings)
    np.testing.assert_allclose(ours.null, theirs.null)
    factors = settings.get("penalty_factors", np.ones(80))
    ridges = np.broadcast_to(settings.get("ridge", 0.0), 20)
    for k, alpha in enumerate(alphas):
        values = [
            objective(X, Y, path.coef[k], alpha, factors, ridges[k], settings.get("weights"))
            for path in (ours, theirs)
        ]
        assert abs(values[0] - values[1]) <= 1e-9 * theirs.null
    assert (ours.gap <= 1e-10 * ours.null).all()


@pytest.mark.usefixtures("gram_up_to")
@pytest.mark.parametrize("ridge", [0.0, 0.4])
def test_the_gap_is_true(ridge):
    """By the definition, on the rows that the ridge term adds."""
    X, Y = rows()
    factors = np.random.default_rng(0).uniform(0.5, 2, 80)
    alphas = grid(X, Y)
    path = residual_path(X, Y, alphas, penalty_factors=factors, ridge=ridge, tol=1e-5)
    X, Y = np.vstack([X, np.diag(np.sqrt(ridge * factors))]), np.vstack([Y, np.zeros((80, 3))])
    for alpha, coef, gap in zip(alphas, path.coef, path.gap):
        residual = Y - X @ coef.T
        limit = alpha / (np.linalg.norm(residual.T @ X, axis=0) / factors).max()
        scale = np.clip(np.sum(Y * residual) / np.sum(residual**2), -limit, limit)
        dual = scale * np.sum(Y * residual) - scale**2 * np.sum(residual**2) / 2
        np.testing.assert_allclose(gap, objective(X, Y, coef, alpha, factors) - dual, atol=1e-12 * path.null)
        assert gap <= 1e-5 * path.null


@pytest.mark.usefixtures("gram_up_to")
def test_any_start_ends_at_the_solution():
    X, Y = rows()
    alphas = grid(X, Y)[-1:]
    cold = residual_path(X, Y, alphas, tol=1e-12)
    again = residual_path(X, Y, alphas, tol=1e-10, start=cold.coef[0])
    assert again.n_iter[0] == 0
    wild = residual_path(X, Y, alphas, tol=1e-12, start=np.random.default_rng(0).normal(size=(3, 80)))
    values = [objective(X, Y, path.coef[0], alphas[0], np.ones(80)) for path in (cold, wild)]
    assert abs(values[0] - values[1]) <= 1e-11 * cold.null


def test_more_features_in_use_than_three_times_the_rows():
    """A ridge term keeps them all."""
    X, Y = rows(n=8, p=120, q=6)
    alphas = grid(X, Y, eps=1e-3)
    path, best = (solve(X, Y, alphas, ridge=50.0, tol=1e-9) for solve in (residual_path, from_gram))
    assert np.any(path.coef[-1], axis=0).sum() > 24
    values = [objective(X, Y, p.coef[-1], alphas[-1], np.ones(120), 50.0) for p in (path, best)]
    assert abs(values[0] - values[1]) <= 1e-8 * path.null


def test_arguments_are_left_alone_and_constant_columns_unused():
    X, Y = rows()
    X[:, 5] = 0.0
    before = X.copy(), Y.copy()
    path = residual_path(X, Y, grid(X, Y), weights=np.full(30, 2.0))
    assert not path.coef[:, :, 5].any()
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(Y, before[1])
    nothing = residual_path(X, np.zeros_like(Y), np.array([1.0]))
    assert not nothing.coef.any()
    assert nothing.gap[0] == 0


def test_too_few_sweeps_are_reported():
    X, Y = rows()
    path = residual_path(X, Y, grid(X, Y)[-1:], tol=1e-10, max_iter=3)
    assert path.n_iter[0] == 3
    assert path.gap[0] > 1e-10 * path.null


def test_positive_with_unpenalised_features_is_refused():
    X, Y = rows()
    with pytest.raises(SettingError, match="feature 0"):
        residual_path(X, Y, np.array([1.0]), penalty_factors=np.arange(80), positive=True)
