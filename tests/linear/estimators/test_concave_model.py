from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem
from row_oracles import labelled_problem, objective
from sklearn.linear_model import LinearRegression

from polytask.errors import PolytaskWarning, SettingError
from polytask.linear import (
    GroupLasso,
    GroupLassoCV,
    GroupMCP,
    GroupMCPCV,
    GroupSCAD,
    GroupSCADCV,
    Moments,
)
from polytask.linear.penalties.mcp import MCP
from polytask.linear.penalties.scad import SCAD

both = pytest.mark.parametrize("model", [GroupMCP, GroupSCAD])
FACTORS = np.array([1.0, 0.5, 2.0, 1.0, 0.0, 1.0, 1.0, 3.0])


def _documented(model, X, Y, w, coef, intercept):
    """The objective of the docstrings at given coefficients."""
    kind = MCP if isinstance(model, GroupMCP) else SCAD
    factors = np.ones(X.shape[1]) if model.penalty_factors is None else model.penalty_factors
    penalty = kind(model.alpha, model.gamma, factors)
    return objective(
        X, Y, w, model.loss, coef, intercept, lambda B: penalty.values(np.linalg.norm(B, axis=0)).sum()
    )


def _best_intercepts(model, X, Y, w, coef):
    """Given coefficients, by Newton steps on each task."""
    out = np.zeros(len(coef))
    for t, b in enumerate(coef):
        known = ~np.isnan(Y[:, t])
        y, z, weights, c = Y[known, t], X[known] @ b, w[known], 0.0
        for _ in range(50):
            if model.loss == "squared":
                mean, curve = z + c, np.ones_like(z)
            elif model.loss == "logistic":
                mean = 1 / (1 + np.exp(-z - c))
                curve = mean * (1 - mean)
            else:
                mean = curve = np.exp(z + c)
            c += weights @ (y - mean) / (weights @ curve)
        out[t] = c
    return out


@both
@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson"])
@pytest.mark.parametrize(("factors", "positive"), [(None, False), (FACTORS, False), (FACTORS, True)])
def test_solutions_are_local_minima_of_the_documented_objective(model, loss, factors, positive):
    X, Y, w = labelled_problem(loss)
    # Features of unit variance, where gamma leaves each row one minimum.
    X = X / X.std(axis=0)
    fitted = model(0.15, 4.0, loss=loss, positive=positive, penalty_factors=factors, tol=1e-9)
    fitted.fit(X, Y, sample_weight=w)
    assert 0 < fitted.coef_.any(axis=0).sum() < 8
    here = _documented(fitted, X, Y, w, fitted.coef_, fitted.intercept_)
    rng = np.random.default_rng(0)
    for k in range(60):
        way = rng.normal(size=fitted.coef_.shape) * (rng.random(8) < (1.0 if k % 2 else 0.2))
        coef = fitted.coef_ + 10.0 ** rng.uniform(-4, -1.5) * way
        coef = np.maximum(coef, 0.0) if positive else coef
        there = _documented(fitted, X, Y, w, coef, _best_intercepts(fitted, X, Y, w, coef))
        assert there >= here - 1e-9


@both
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_a_large_gamma_is_the_group_lasso(model, loss):
    X, Y, w = labelled_problem(loss)
    concave = model(0.1, 1e9, loss=loss, tol=1e-10).fit(X, Y, sample_weight=w)
    convex = GroupLasso(0.1, loss=loss, tol=1e-13, max_iter=50_000).fit(X, Y, sample_weight=w)
    np.testing.assert_allclose(concave.coef_, convex.coef_, atol=1e-6)
    np.testing.assert_allclose(concave.intercept_, convex.intercept_, atol=1e-5)


@both
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_strong_features_are_fitted_as_if_the_support_were_known(model, missing):
    rng = np.random.default_rng(0)
    B = np.zeros((4, 30))
    B[:, [2, 11, 20]] = rng.choice([-2.0, 2.0], size=(4, 3))
    X = rng.normal(size=(100, 30))
    Y = X @ B.T + rng.normal(size=(100, 4)) + 5
    Y[rng.random(Y.shape) < missing] = np.nan
    fitted = model(0.7, tol=1e-10).fit(X, Y)
    assert np.flatnonzero(fitted.coef_.any(axis=0)).tolist() == [2, 11, 20]
    for t in range(4):
        known = ~np.isnan(Y[:, t])
        least_squares = LinearRegression().fit(X[known][:, [2, 11, 20]], Y[known, t])
        np.testing.assert_allclose(fitted.coef_[t, [2, 11, 20]], least_squares.coef_, atol=1e-8)
        np.testing.assert_allclose(fitted.intercept_[t], least_squares.intercept_, atol=1e-8)
    shrunk = GroupLasso(0.7).fit(X, Y).coef_
    assert np.all(
        np.linalg.norm(shrunk, axis=0)[[2, 11, 20]] < 0.9 * np.linalg.norm(fitted.coef_, axis=0)[[2, 11, 20]]
    )


@both
def test_the_grid_starts_where_coefficients_appear(model):
    X, Y = wide_problem(missing=0.3)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    factors = np.linspace(0.5, 2, 8)
    largest = model(penalty_factors=factors).default_grid(Moments.from_arrays(X, Y))[0, 0]
    assert not model(largest * 1.0001, penalty_factors=factors, tol=1e-10).fit(X, Y).coef_.any()
    assert model(largest * 0.99, penalty_factors=factors, tol=1e-10).fit(X, Y).coef_.any()


@both
def test_rows_and_moments_give_one_fit(model, monkeypatch):
    X, Y = wide_problem(n=30, p=60, missing=0.1)
    settings = {"standardize": True, "tol": 1e-9, "max_iter": 50_000}
    fast = model(1.5, **settings).fit(X, Y)
    monkeypatch.setattr("polytask.linear.descent._SMALL_GRAMS", 10)
    slow = model(1.5, **settings).fit(X, Y)
    assert fast.coef_.any()
    np.testing.assert_allclose(slow.coef_, fast.coef_, atol=1e-6)
    np.testing.assert_allclose(slow.intercept_, fast.intercept_, atol=1e-5)


@pytest.mark.parametrize(("chosen", "gammas"), [(GroupMCPCV, [1.5, 4.0]), (GroupSCADCV, [2.5, 4.0])])
def test_cross_validation_chooses_penalties_that_select_better_than_the_group_lasso(chosen, gammas):
    rng = np.random.default_rng(1)
    B = np.zeros((4, 25))
    B[:, :3] = rng.normal(size=(4, 3)) * 2
    X = rng.normal(size=(80, 25))
    Y = X @ B.T + rng.normal(size=(80, 4)) * 2
    fitted = chosen(gammas=gammas, n_alphas=12, eps=0.02).fit(X, Y)
    assert fitted.grid_.shape == (24, 2)
    assert (fitted.alpha_, fitted.gamma_) in {tuple(row) for row in fitted.grid_}
    assert fitted.residual_ < 1e-6
    lasso = GroupLassoCV(n_alphas=12, eps=0.02).fit(X, Y)
    assert np.sum((fitted.coef_ - B) ** 2) < 0.8 * np.sum((lasso.coef_ - B) ** 2)
    assert fitted.coef_.any(axis=0).sum() < lasso.coef_.any(axis=0).sum()


@both
def test_a_warm_start_starts_at_the_last_fit(model):
    X, Y = wide_problem(missing=0.2)
    fitted = model(0.2, warm_start=True, standardize=True, tol=1e-7).fit(X, Y)
    first = fitted.coef_.copy()
    assert fitted.n_iter_ > 1
    assert fitted.fit(X, Y).n_iter_ <= 1
    np.testing.assert_allclose(fitted.coef_, first, atol=1e-8)


@both
def test_stopping_early_warns_with_the_residual(model):
    X, Y, _ = labelled_problem("logistic")
    with pytest.warns(PolytaskWarning, match="relative optimality residual"):
        model(0.01, loss="logistic", max_iter=2, tol=1e-9).fit(X, Y)


@pytest.mark.parametrize(
    ("model", "gamma"), [(GroupMCP, 1.0), (GroupMCP, np.nan), (GroupSCAD, 2.0), (GroupSCAD, np.inf)]
)
def test_gammas_that_make_no_penalty_are_refused(model, gamma):
    with pytest.raises(SettingError, match=f"gamma must be a number above {1 if model is GroupMCP else 2}"):
        model(0.1, gamma).fit(*wide_problem())
