from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem
from sklearn.linear_model import Lasso, LassoCV, LinearRegression

from polytask.errors import PolytaskWarning
from polytask.linear import LabelledTable, Moments, TaskLasso, TaskLassoCV


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(60, 8), (20, 40)])
def test_equals_scikit_learn(shape, weighted, fit_intercept):
    X, Y = wide_problem(*shape)
    w = np.random.default_rng(0).uniform(0.1, 3, len(X)) if weighted else None
    alphas = [0.05, 0.3, 1.0]
    ours = TaskLasso(alphas, fit_intercept=fit_intercept, tol=1e-13).fit(X, Y, sample_weight=w)
    for t, alpha in enumerate(alphas):
        theirs = Lasso(alpha, fit_intercept=fit_intercept, tol=1e-13, max_iter=100_000)
        theirs.fit(X, Y[:, t], sample_weight=w)
        np.testing.assert_allclose(ours.coef_[t], theirs.coef_, atol=1e-6)
        np.testing.assert_allclose(ours.intercept_[t], theirs.intercept_, atol=1e-5)


def test_the_dual_gap_is_scikit_learns():
    X, Y = wide_problem()
    ours = TaskLasso(0.1, tol=1e-3).fit(X, Y[:, 0])
    residual = Y[:, 0] - ours.predict(X)
    objective = residual @ residual / 120 + 0.1 * np.abs(ours.coef_).sum()
    best = TaskLasso(0.1, tol=1e-14).fit(X, Y[:, 0])
    residual = Y[:, 0] - best.predict(X)
    least = residual @ residual / 120 + 0.1 * np.abs(best.coef_).sum()
    assert -1e-12 <= objective - least <= ours.dual_gap_ + 1e-12
    assert ours.dual_gap_ <= 1e-3 * Y[:, 0].var() / 2


def test_limits():
    X, Y = wide_problem(missing=0.3)
    moments = Moments.from_arrays(X, Y)
    largest = TaskLasso().default_grid(moments)[0]
    assert not TaskLasso(largest, tol=1e-12).fit(X, Y).coef_.any()
    assert np.all(TaskLasso(largest * 0.99, tol=1e-12).fit(X, Y).coef_.any(axis=1))
    known = ~np.isnan(Y[:, 0])
    free = TaskLasso(1e-9, tol=1e-15).fit(X[known], Y[known, 0])
    np.testing.assert_allclose(free.coef_, LinearRegression().fit(X[known], Y[known, 0]).coef_, atol=1e-6)


@pytest.mark.parametrize("shape", [(100, 20), (50, 60)])
def test_cross_validation_chooses_scikit_learns_penalty(shape):
    X, Y = wide_problem(*shape)
    ours = TaskLassoCV(n_alphas=40, eps=1e-2, tol=1e-10).fit(X, Y)
    for t in range(3):
        theirs = LassoCV(alphas=ours.alphas_[:, t], cv=5, tol=1e-10, max_iter=100_000).fit(X, Y[:, t])
        np.testing.assert_allclose(ours.alpha_[t], theirs.alpha_)
        np.testing.assert_allclose(ours.mse_path_[:, :, t], theirs.mse_path_, rtol=1e-4)
        np.testing.assert_allclose(ours.coef_[t], theirs.coef_, atol=1e-5)


def test_the_default_grid_is_scikit_learns():
    X, Y = wide_problem()
    ours, theirs = TaskLassoCV(n_alphas=10).fit(X, Y[:, 0]), LassoCV(alphas=10, cv=5).fit(X, Y[:, 0])
    np.testing.assert_allclose(ours.alphas_, theirs.alphas_)


@pytest.mark.filterwarnings("ignore::polytask.errors.PolytaskWarning")
def test_not_converging_is_a_warning_with_the_gap():
    X, Y = wide_problem(n=30, p=40, correlation=0.99)
    with pytest.warns(PolytaskWarning, match="duality gap of .* above tol=1e-08"):
        TaskLasso(1e-4, tol=1e-8, max_iter=3).fit(X, Y)
    with pytest.warns(PolytaskWarning, match="in cross-validation"):
        TaskLassoCV(tol=1e-8, max_iter=3, n_alphas=5).fit(X, Y)


def test_a_path_from_moments_needs_no_fit():
    X, Y = wide_problem(missing=0.2)
    table = LabelledTable.from_arrays(X, Y)
    model = TaskLasso(standardize=True, tol=1e-12)
    moments = Moments.from_table(table)
    grid = model.default_grid(moments, 6)
    path = model.coef_path(moments, grid)
    fitted = TaskLasso(grid[4], standardize=True, tol=1e-12).fit(X, Y)
    np.testing.assert_allclose(path.coef[4], fitted.coef_, atol=1e-6)
    np.testing.assert_allclose(path.intercept[4], fitted.intercept_, atol=1e-5)
    assert not hasattr(model, "coef_")
