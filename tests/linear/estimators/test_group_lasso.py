from __future__ import annotations

import numpy as np
import pytest
from problems import group_lasso_by_proximal_gradient, group_lasso_objective, wide_problem
from sklearn.linear_model import LinearRegression, MultiTaskLasso, MultiTaskLassoCV

from polytask.data import TaskData
from polytask.errors import PolytaskWarning
from polytask.linear import GroupLasso, GroupLassoCV, Moments, TaskLasso, group_lasso_path


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", [(60, 8), (20, 40)])
@pytest.mark.parametrize("alpha", [0.02, 0.5])
def test_equals_scikit_learn(shape, alpha, fit_intercept):
    X, Y = wide_problem(*shape)
    ours = GroupLasso(alpha, fit_intercept=fit_intercept, tol=1e-13).fit(X, Y)
    theirs = MultiTaskLasso(alpha, fit_intercept=fit_intercept, tol=1e-13, max_iter=100_000).fit(X, Y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [0.05, 0.5])
def test_missing_labels_and_weights_equal_an_independent_solver(alpha, weighted):
    X, Y = wide_problem(missing=0.4)
    w = np.random.default_rng(0).uniform(0.1, 3, len(X)) if weighted else None
    ours = GroupLasso(alpha, tol=1e-13).fit(X, Y, sample_weight=w)
    expected = group_lasso_by_proximal_gradient(X, Y, alpha, w)
    np.testing.assert_allclose(ours.coef_, expected, atol=1e-6)


def test_the_dual_gap_bounds_the_distance_to_the_minimum_of_the_documented_objective():
    X, Y = wide_problem(missing=0.3)
    rough, exact = GroupLasso(0.1, tol=1e-2).fit(X, Y), GroupLasso(0.1, tol=1e-14).fit(X, Y)
    above = group_lasso_objective(X, Y, rough.coef_, rough.intercept_, 0.1) - group_lasso_objective(
        X, Y, exact.coef_, exact.intercept_, 0.1
    )
    assert 0 < above <= rough.dual_gap_ + 1e-12


def test_one_task_is_the_lasso():
    X, Y = wide_problem(q=1)
    group, lasso = GroupLasso(0.1, tol=1e-13).fit(X, Y), TaskLasso(0.1, tol=1e-13).fit(X, Y)
    np.testing.assert_allclose(group.coef_, lasso.coef_, atol=1e-8)


def test_identical_tasks_are_one_lasso_of_a_smaller_penalty():
    X, Y = wide_problem(q=1)
    four = GroupLasso(0.1, tol=1e-13).fit(X, np.repeat(Y, 4, axis=1))
    # √4 ‖b‖₁ for four losses is half the penalty for each.
    one = TaskLasso(0.05, tol=1e-13).fit(X, Y)
    np.testing.assert_allclose(four.coef_, np.repeat(one.coef_, 4, axis=0), atol=1e-7)


def test_limits():
    X, Y = wide_problem(missing=0.3)
    largest = GroupLasso().default_grid(Moments.from_arrays(X, Y))[0]
    assert not GroupLasso(largest, tol=1e-12).fit(X, Y).coef_.any()
    assert GroupLasso(largest * 0.99, tol=1e-12).fit(X, Y).coef_.any()
    X, Y = wide_problem()
    free = GroupLasso(1e-9, tol=1e-15).fit(X, Y)
    np.testing.assert_allclose(free.coef_, LinearRegression().fit(X, Y).coef_, atol=1e-6)


def test_own_rows_with_shared_features_recover_the_features():
    rng = np.random.default_rng(0)
    tables = {}
    for k in range(6):
        X = rng.normal(size=(25, 30))
        tables[f"t{k}"] = (X, X[:, [3, 7]] @ rng.normal(2, 0.5, 2) + 10 * k + rng.normal(size=25) * 0.3)
    fitted = GroupLasso(0.8, tol=1e-8).fit(TaskData.from_dict(tables))
    assert np.flatnonzero(fitted.coef_.any(axis=0)).tolist() == [3, 7]
    assert np.all(fitted.coef_[:, [3, 7]] != 0)


@pytest.mark.parametrize("shape", [(100, 20), (50, 60)])
def test_cross_validation_chooses_scikit_learns_penalty(shape):
    X, Y = wide_problem(*shape)
    ours = GroupLassoCV(n_alphas=30, eps=1e-2, tol=1e-10).fit(X, Y)
    theirs = MultiTaskLassoCV(alphas=ours.alphas_, cv=5, tol=1e-10, max_iter=100_000).fit(X, Y)
    np.testing.assert_allclose(ours.alpha_, theirs.alpha_)
    np.testing.assert_allclose(ours.mse_path_.mean(axis=2), theirs.mse_path_, rtol=1e-4)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)


def test_the_default_grid_is_scikit_learns():
    X, Y = wide_problem()
    ours, theirs = GroupLassoCV(n_alphas=10).fit(X, Y), MultiTaskLassoCV(alphas=10, cv=5).fit(X, Y)
    np.testing.assert_allclose(ours.alphas_, theirs.alphas_)


def test_scaled_targets_make_their_units_irrelevant():
    X, Y = wide_problem(missing=0.2)
    units = np.array([1.0, 1e3, 1e-3])
    for model in (
        GroupLasso(0.1, scale_targets=True, tol=1e-10),
        GroupLassoCV(scale_targets=True, n_alphas=10),
    ):
        one, other = model.fit(X, Y).predict(X), model.fit(X, Y * units).predict(X)
        np.testing.assert_allclose(other / units, one, atol=1e-4)


def test_the_path_function_equals_single_fits():
    X, Y = wide_problem(missing=0.2)
    w = np.linspace(0.5, 2, len(X))
    alphas, coefs, intercepts, gaps = group_lasso_path(X, Y, alphas=[0.1, 1.0], sample_weight=w, tol=1e-12)
    assert alphas.tolist() == [1.0, 0.1]
    for k, alpha in enumerate(alphas):
        fitted = GroupLasso(alpha, tol=1e-12).fit(X, Y, sample_weight=w)
        np.testing.assert_allclose(coefs[k], fitted.coef_, atol=1e-6)
        np.testing.assert_allclose(intercepts[k], fitted.intercept_, atol=1e-5)
        assert gaps[k] <= 1e-11
    default = group_lasso_path(X, Y, n_alphas=5, eps=0.1)
    assert default[0].shape == (5,)
    assert default[1].shape == (5, 3, 8)
    assert not default[1][0].any()


def test_an_unconverged_path_warns():
    X, Y = wide_problem(n=30, p=40, correlation=0.99)
    with pytest.warns(PolytaskWarning, match="on the path"):
        group_lasso_path(X, Y, alphas=[1e-4], max_iter=3)
