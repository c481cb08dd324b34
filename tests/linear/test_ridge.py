from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold

from polytask.linear import TaskRidge, TaskRidgeCV


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(60, 8), (20, 40)])
def test_equals_scikit_learn(shape, weighted, fit_intercept):
    X, Y = wide_problem(*shape)
    w = np.random.default_rng(0).uniform(0.1, 3, len(X)) if weighted else None
    alphas = np.array([0.3, 5.0, 40.0])
    ours = TaskRidge(alphas, fit_intercept=fit_intercept).fit(X, Y, sample_weight=w)
    theirs = Ridge(alphas, fit_intercept=fit_intercept).fit(X, Y, sample_weight=w)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-8)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-7)


def test_missing_labels_equal_a_fit_per_task():
    X, Y = wide_problem(missing=0.4)
    ours = TaskRidge(2.0).fit(X, Y)
    for t, y in enumerate(Y.T):
        known = ~np.isnan(y)
        theirs = Ridge(2.0).fit(X[known], y[known])
        np.testing.assert_allclose(ours.coef_[t], theirs.coef_, atol=1e-9)
        np.testing.assert_allclose(ours.intercept_[t], theirs.intercept_, atol=1e-8)


def test_no_penalty_is_least_squares():
    X, Y = wide_problem()
    np.testing.assert_allclose(TaskRidge(0).fit(X, Y).coef_, LinearRegression().fit(X, Y).coef_, atol=1e-9)


def test_each_task_chooses_the_penalty_that_a_grid_search_chooses():
    X, Y = wide_problem(n=100, p=30)
    Y[:, 1] = np.random.default_rng(0).normal(size=100)
    alphas = np.geomspace(1e-2, 1e4, 13)
    ours = TaskRidgeCV(alphas=alphas, cv=5).fit(X, Y)
    for t in range(3):
        search = GridSearchCV(Ridge(), {"alpha": alphas}, cv=KFold(5), scoring="neg_mean_squared_error")
        search.fit(X, Y[:, t])
        assert ours.alpha_[t] == search.best_params_["alpha"]
        scores = -search.cv_results_["mean_test_score"][::-1]
        np.testing.assert_allclose(ours.mse_path_[:, :, t].mean(axis=1), scores, rtol=1e-8)
    assert ours.alpha_[1] > 10 * ours.alpha_[0]
    np.testing.assert_allclose(ours.coef_, Ridge(ours.alpha_).fit(X, Y).coef_, atol=1e-9)


def test_the_default_grid_scales_with_the_data():
    X, Y = wide_problem()
    one, other = TaskRidgeCV().fit(X, Y), TaskRidgeCV().fit(X * 100, Y)
    np.testing.assert_allclose(other.alpha_, one.alpha_ * 1e4)
    np.testing.assert_allclose(other.predict(X * 100), one.predict(X))
