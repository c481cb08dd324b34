from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
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


def classes_and_counts(X, Y):
    """Labels of both kinds from noisy predictors."""
    rng = np.random.default_rng(0)
    z = (Y - Y.mean(axis=0)) / Y.std(axis=0)
    return (z + rng.normal(size=Y.shape) > 0).astype(int), rng.poisson(np.exp(z))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", [(60, 8), (20, 40)])
def test_logistic_ridge_equals_scikit_learn(shape, fit_intercept):
    X, Y = wide_problem(*shape)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    classes, _ = classes_and_counts(X, Y)
    w, alphas = np.random.default_rng(1).uniform(0.1, 3, len(X)), np.array([0.3, 5.0, 40.0])
    ours = TaskRidge(alphas, loss="logistic", fit_intercept=fit_intercept, tol=1e-14)
    ours.fit(X, classes, sample_weight=w)
    for t, alpha in enumerate(alphas):
        theirs = LogisticRegression(C=1 / alpha, fit_intercept=fit_intercept, tol=1e-10, max_iter=10_000)
        theirs.fit(X, classes[:, t], sample_weight=w)
        np.testing.assert_allclose(ours.coef_[t], theirs.coef_[0], atol=1e-6)
        np.testing.assert_allclose(ours.intercept_[t], np.ravel(theirs.intercept_)[0], atol=1e-6)
    assert ours.dual_gap_ < 1e-10


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", [(60, 8), (20, 40)])
def test_poisson_ridge_equals_scikit_learn(shape, fit_intercept):
    X, Y = wide_problem(*shape)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    _, counts = classes_and_counts(X, Y)
    w = np.random.default_rng(1).uniform(0.1, 3, len(X))
    ours = TaskRidge(3.0, loss="poisson", fit_intercept=fit_intercept, tol=1e-14)
    ours.fit(X, counts, sample_weight=w)
    for t in range(3):
        # Its objective is divided by the total weight.
        theirs = PoissonRegressor(
            alpha=3.0 / w.sum(), fit_intercept=fit_intercept, solver="newton-cholesky", tol=1e-12
        )
        theirs.fit(X, counts[:, t], sample_weight=w)
        np.testing.assert_allclose(ours.coef_[t], theirs.coef_, atol=1e-7)
        np.testing.assert_allclose(ours.predict(X)[:, t], theirs.predict(X), rtol=1e-6)


@pytest.mark.parametrize("shape", [(60, 8), (20, 40)])
def test_positive_ridge_equals_scikit_learn(shape):
    X, Y = wide_problem(*shape)
    ours = TaskRidge(3.0, positive=True, tol=1e-10).fit(X, Y)
    theirs = Ridge(3.0, positive=True, tol=1e-10, max_iter=100_000).fit(X, Y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-3)
    assert ours.coef_.min() == 0
    assert ours.residual_ < 1e-6


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_missing_labels_of_other_losses_equal_a_fit_per_task(loss):
    X, Y = wide_problem()
    labels = dict(zip(["logistic", "poisson"], classes_and_counts(X, Y)))[loss].astype(float)
    labels[np.random.default_rng(0).random(labels.shape) < 0.4] = np.nan
    ours = TaskRidge(2.0, loss=loss, tol=1e-14).fit(X, labels)
    for t, y in enumerate(labels.T):
        known = ~np.isnan(y)
        alone = TaskRidge(2.0, loss=loss, tol=1e-14).fit(X[known], y[known])
        np.testing.assert_allclose(ours.coef_[t], alone.coef_, atol=1e-7)


def test_unpenalised_features_of_a_logistic_ridge_have_no_slope_left():
    X, Y = wide_problem()
    classes, _ = classes_and_counts(X, Y)
    factors = np.array([0.0, 1, 2, 1, 1, 0, 1, 0.5])
    ours = TaskRidge(2.0, loss="logistic", penalty_factors=factors, tol=1e-12).fit(X, classes)
    probability = 1 / (1 + np.exp(-ours.decision_function(X)))
    slope = (classes - probability).T @ X
    np.testing.assert_allclose(slope, 2.0 * factors * ours.coef_, atol=1e-4)
    assert ours.residual_ < 1e-10


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_penalties_of_other_losses_are_chosen_by_deviance(loss):
    X, Y = wide_problem(n=120)
    labels = dict(zip(["logistic", "poisson"], classes_and_counts(X, Y)))[loss]
    chosen = TaskRidgeCV(loss=loss, alphas=[1e-3, 1.0, 1e6], cv=3, tol=1e-10).fit(X, labels)
    assert chosen.deviance_path_.shape == (3, 3, 3)
    for t, fold in np.ndindex(3, 3):
        test = np.zeros(120, dtype=bool)
        test[40 * fold : 40 * fold + 40] = True
        alone = TaskRidge(1.0, loss=loss, tol=1e-12).fit(X[~test], labels[~test, t])
        y, z = labels[test, t], X[test] @ alone.coef_ + alone.intercept_
        if loss == "logistic":
            deviance = 2 * np.mean(np.logaddexp(0, z) - y * z)
        else:
            deviance = 2 * np.mean(np.exp(z) - y * z - np.where(y > 0, y - y * np.log(np.maximum(y, 1)), 0))
        np.testing.assert_allclose(chosen.deviance_path_[1, fold, t], deviance, rtol=1e-4)
    assert chosen.alpha_[0] == 1.0


def test_tasks_of_one_class_have_no_coefficients():
    X, Y = wide_problem()
    classes, _ = classes_and_counts(X, Y)
    weight = (classes[:, 0] == 1).astype(float)
    with_one = TaskRidge(2.0, loss="logistic", tol=1e-12).fit(X, classes, sample_weight=weight)
    assert not with_one.coef_[0].any()
    alone = TaskRidge(2.0, loss="logistic", tol=1e-12).fit(X, classes[:, 1:], sample_weight=weight)
    np.testing.assert_allclose(with_one.coef_[1:], alone.coef_, atol=1e-6)
    assert not TaskRidge(loss="logistic").fit(X, classes[:, 0], sample_weight=weight).coef_.any()
