from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem
from scipy.optimize import minimize
from sklearn.linear_model import Ridge

from polytask.data import TaskData
from polytask.errors import SettingError
from polytask.linear import MeanRegularized, MeanRegularizedCV, TaskRidge, evgeniou_pontil_penalties


@pytest.mark.parametrize("sharing", [0.2, 0.9])
def test_minimises_the_papers_objective(sharing):
    X, Y = wide_problem(n=25, p=4, missing=0.3)
    w = np.random.default_rng(0).uniform(0.5, 2, 25)
    first, second = evgeniou_pontil_penalties(2.0, sharing, 3)

    def objective(parameters):
        coef, intercept = parameters[:12].reshape(3, 4), parameters[12:]
        mean = coef.mean(axis=0)
        loss = (w[:, None] * np.nan_to_num(Y - X @ coef.T - intercept) ** 2).sum()
        return loss + first * mean @ mean + second / 3 * ((coef - mean) ** 2).sum()

    best = minimize(objective, np.zeros(15), method="BFGS", options={"gtol": 1e-7, "maxiter": 10_000})
    fitted = MeanRegularized(2.0, sharing).fit(X, Y, sample_weight=w)
    np.testing.assert_allclose(fitted.coef_.ravel(), best.x[:12], atol=1e-4)
    np.testing.assert_allclose(fitted.intercept_, best.x[12:], atol=1e-3)
    assert objective(np.concatenate([fitted.coef_.ravel(), fitted.intercept_])) <= best.fun + 1e-9


def test_no_sharing_is_ridge_per_task_and_the_limit_is_smooth():
    X, Y = wide_problem(missing=0.3)
    apart, almost = MeanRegularized(2.0, 0.0).fit(X, Y), MeanRegularized(2.0, 1e-10).fit(X, Y)
    np.testing.assert_array_equal(apart.coef_, TaskRidge(2.0).fit(X, Y).coef_)
    np.testing.assert_allclose(almost.coef_, apart.coef_, atol=1e-7)


def test_full_sharing_is_pooled_ridge_and_the_limit_is_smooth():
    X, Y = wide_problem(missing=0.3)
    pooled, almost = MeanRegularized(2.0, 1.0).fit(X, Y), MeanRegularized(2.0, 1 - 1e-10).fit(X, Y)
    known = ~np.isnan(Y)
    # An intercept per task is the same as centring each task.
    stacked_X = np.vstack([X[k] - X[k].mean(axis=0) for k in known.T])
    stacked_y = np.concatenate([y[k] - y[k].mean() for y, k in zip(Y.T, known.T)])
    expected = Ridge(2.0, fit_intercept=False).fit(stacked_X, stacked_y).coef_
    np.testing.assert_allclose(pooled.coef_, np.tile(expected, (3, 1)), atol=1e-9)
    np.testing.assert_allclose(almost.coef_, pooled.coef_, atol=1e-7)


def test_identical_tasks_have_identical_coefficients():
    X, Y = wide_problem(q=1)
    coef = MeanRegularized(3.0, 0.7).fit(X, np.repeat(Y, 3, axis=1)).coef_
    np.testing.assert_allclose(coef, np.tile(coef[0], (3, 1)), atol=1e-12)


def test_no_penalty_is_least_squares_at_any_sharing():
    X, Y = wide_problem()
    for sharing in (0.0, 0.5):
        fitted = MeanRegularized(0.0, sharing).fit(X, Y)
        np.testing.assert_allclose(fitted.coef_, TaskRidge(0.0).fit(X, Y).coef_, atol=1e-9)


def test_a_task_without_labels_takes_a_share_of_the_mean_vector():
    problems = [wide_problem(n=20, q=1, seed=seed) for seed in range(3)]
    data = TaskData.from_dict({f"t{k}": (X, Y[:, 0]) for k, (X, Y) in enumerate(problems)})
    coef = MeanRegularized(1.0, 0.5).fit(data.subset(np.arange(40))).coef_
    # Without loss, κ a_t = (κ − h) ā, and h/κ = (1 − s) / (1 − s + T s) = 1/4.
    np.testing.assert_allclose(coef[2], 0.75 * coef.mean(axis=0), rtol=1e-9)


def related_tasks(similarity, n_tasks=12, n=12, p=6, seed=0):
    rng = np.random.default_rng(seed)
    common, own = rng.normal(size=p), rng.normal(size=(n_tasks, p))
    coef = np.sqrt(similarity) * common + np.sqrt(1 - similarity) * own
    tables = {}
    for t in range(n_tasks):
        X = rng.normal(size=(n, p))
        tables[f"t{t}"] = (X, X @ coef[t] + 3 * t + rng.normal(size=n))
    return TaskData.from_dict(tables), coef


def test_cross_validation_finds_how_alike_tasks_are():
    def sharing(similarity):
        fits = [MeanRegularizedCV().fit(related_tasks(similarity, seed=seed)[0]) for seed in range(9)]
        return np.median([fitted.sharing_ for fitted in fits])

    assert sharing(0.0) <= 0.25
    assert 0.25 <= sharing(0.5) <= 0.75
    assert sharing(0.95) >= 0.9


def test_sharing_helps_alike_tasks():
    data, coef = related_tasks(0.95)
    together, apart = MeanRegularizedCV().fit(data), MeanRegularizedCV(sharings=[0.0]).fit(data)
    assert np.sum((together.coef_ - coef) ** 2) < 0.75 * np.sum((apart.coef_ - coef) ** 2)


def test_the_chosen_pair_has_the_least_error_on_refitted_folds():
    X, Y = wide_problem(n=40, missing=0.2)
    folds = [(np.arange(20, 40), np.arange(20)), (np.arange(20), np.arange(20, 40))]
    chosen = MeanRegularizedCV(alphas=[1.0, 30.0], sharings=[0.0, 0.6, 1.0], cv=folds).fit(X, Y)
    totals = {}
    for alpha, sharing in chosen.grid_:
        total = 0.0
        for train, test in folds:
            fitted = MeanRegularized(alpha, sharing).fit(X[train], Y[train])
            total += np.nansum((Y[test] - fitted.predict(X[test])) ** 2)
        totals[alpha, sharing] = total
    assert min(totals, key=totals.get) == (chosen.alpha_, chosen.sharing_)


def test_penalties_of_the_paper():
    first, second = evgeniou_pontil_penalties(2.0, np.array([0.0, 0.5, 1.0]), 4)
    np.testing.assert_allclose(first, [8.0, 8 / 2.5, 2.0])
    np.testing.assert_allclose(second, [8.0, 16.0, np.inf])


@pytest.mark.parametrize("sharing", [-0.1, 1.1, np.nan])
def test_sharing_outside_its_range_is_refused(sharing):
    with pytest.raises(SettingError, match="sharing must lie between 0"):
        MeanRegularized(sharing=sharing).fit(*wide_problem())


def classes(Y, seed=0):
    """Two classes, missing where Y is."""
    noise = np.random.default_rng(seed).normal(size=Y.shape) * np.nanstd(Y, axis=0)
    return np.where(np.isnan(Y), np.nan, Y + noise > np.nanmean(Y, axis=0))


@pytest.mark.parametrize("sharing", [0.0, 0.4, 0.9])
def test_logistic_loss_minimises_the_papers_objective(sharing):
    X, Y = wide_problem(n=30, p=4, missing=0.3)
    labels, first_second = classes(Y), evgeniou_pontil_penalties(2.0, sharing, 3)
    known = ~np.isnan(labels)

    def objective(coef, intercept):
        mean, z = coef.mean(axis=0), X @ coef.T + intercept
        loss = np.where(known, np.logaddexp(0, z) - np.nan_to_num(labels) * z, 0).sum()
        first, second = first_second
        return loss + first / 2 * mean @ mean + second / 6 * ((coef - mean) ** 2).sum()

    best = minimize(
        lambda x: objective(x[:12].reshape(3, 4), x[12:]), np.zeros(15), method="BFGS", options={"gtol": 1e-7}
    )
    fitted = MeanRegularized(2.0, sharing, loss="logistic", tol=1e-12).fit(X, labels)
    np.testing.assert_allclose(fitted.coef_.ravel(), best.x[:12], atol=1e-3)
    assert objective(fitted.coef_, fitted.intercept_) <= best.fun + 1e-9


@pytest.mark.parametrize("positive", [False, True])
def test_full_sharing_of_a_logistic_loss_is_one_vector_and_the_limit_is_smooth(positive):
    X, Y = wide_problem(missing=0.3)
    model = MeanRegularized(2.0, 1.0, loss="logistic", positive=positive, tol=1e-10, max_iter=100_000)
    shared = model.fit(X, classes(Y)).coef_
    assert np.ptp(shared, axis=0).max() < 1e-12
    almost = model.set_params(sharing=1 - 1e-6).fit(X, classes(Y)).coef_
    np.testing.assert_allclose(almost, shared, atol=1e-4)


@pytest.mark.parametrize("sharing", [0.3, 1.0])
def test_positive_coefficients_meet_the_optimality_conditions(sharing):
    X, Y = wide_problem(missing=0.3)
    fitted = MeanRegularized(2.0, sharing, positive=True, tol=1e-10, max_iter=100_000).fit(X, Y)
    coef = fitted.coef_
    assert coef.min() == 0
    first, second = evgeniou_pontil_penalties(2.0, sharing, 3)
    slope = np.where(np.isnan(Y), 0, Y - fitted.predict(X)).T @ X - first / 9 * coef.sum(axis=0)
    if sharing < 1:
        slope -= second / 3 * (coef - coef.mean(axis=0))
    else:
        # What pulls the tasks apart is forbidden; only their common direction must be at rest.
        slope = np.broadcast_to(slope.mean(axis=0), slope.shape)
    assert np.abs(slope[coef > 0]).max() < 1e-3
    assert slope[coef == 0].max() < 1e-3
