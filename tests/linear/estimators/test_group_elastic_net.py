from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from problems import wide_problem
from row_oracles import labelled_problem, least_objective, objective
from sklearn.linear_model import MultiTaskElasticNet, MultiTaskElasticNetCV

from polytask.errors import SettingError
from polytask.linear import GroupElasticNet, GroupElasticNetCV, GroupLasso, Moments, TaskElasticNet, TaskRidge

FACTORS = np.array([1.0, 0.5, 2.0, 1.0, 0.0, 1.0, 1.0, 3.0])


def _penalty(B, factors, alpha=0.1, ratio=0.3):
    norms = np.linalg.norm(B, axis=0)
    return alpha * factors @ (ratio * norms + (1 - ratio) / 2 * norms**2)


@pytest.mark.parametrize("shape", [(60, 8), (20, 40)])
@pytest.mark.parametrize("alpha", [0.05, 1.0])
def test_equals_scikit_learn(shape, alpha):
    X, Y = wide_problem(*shape)
    ours = GroupElasticNet(alpha, 0.4, tol=1e-13).fit(X, Y)
    theirs = MultiTaskElasticNet(alpha=alpha, l1_ratio=0.4, tol=1e-12, max_iter=100_000).fit(X, Y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-5)


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson"])
@pytest.mark.parametrize(
    ("factors", "positive"), [(np.ones(8), False), (FACTORS, False), (FACTORS, True), (FACTORS + 0.5, True)]
)
def test_the_objective_is_the_least_there_is(loss, factors, positive):
    X, Y, w = labelled_problem(loss)
    model = GroupElasticNet(
        0.1, 0.3, loss=loss, positive=positive, penalty_factors=factors, tol=1e-10, max_iter=50_000
    ).fit(X, Y, sample_weight=w)
    ours = objective(X, Y, w, loss, model.coef_, model.intercept_, lambda B: _penalty(B, factors))
    least = least_objective(
        X, Y, w, loss,
        lambda B: 0.1 * sum(f * (0.3 * cp.norm(B[:, j]) + 0.35 * cp.sum_squares(B[:, j]))
                            for j, f in enumerate(factors)),
        positive=positive,
    )  # fmt: skip
    assert ours == pytest.approx(least, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson"])
@pytest.mark.parametrize("positive", [False, True])
def test_the_gap_bounds_the_distance_to_the_minimum(loss, positive):
    X, Y, w = labelled_problem(loss)
    settings = {"loss": loss, "positive": positive}
    rough = GroupElasticNet(0.1, 0.3, tol=3e-2, max_iter=50, **settings).fit(X, Y, sample_weight=w)
    exact = GroupElasticNet(0.1, 0.3, tol=1e-12, max_iter=50_000, **settings).fit(X, Y, sample_weight=w)
    values = [
        objective(X, Y, w, loss, m.coef_, m.intercept_, lambda B: _penalty(B, np.ones(8)))
        for m in (rough, exact)
    ]
    assert 1e-8 < values[0] - values[1] <= rough.dual_gap_ + 1e-10


def test_rows_and_moments_give_one_fit(monkeypatch):
    X, Y = wide_problem(n=30, p=60)
    fast = GroupElasticNet(0.2, 0.5, tol=1e-12).fit(X, Y)
    monkeypatch.setattr("polytask.linear.descent._SMALL_GRAMS", 10)
    slow = GroupElasticNet(0.2, 0.5, tol=1e-12, max_iter=50_000).fit(X, Y)
    np.testing.assert_allclose(slow.coef_, fast.coef_, atol=1e-6)
    np.testing.assert_allclose(slow.intercept_, fast.intercept_, atol=1e-5)


def test_limits():
    X, Y = wide_problem(missing=0.3)
    np.testing.assert_allclose(
        GroupElasticNet(0.1, 1.0, tol=1e-13).fit(X, Y).coef_,
        GroupLasso(0.1, tol=1e-13).fit(X, Y).coef_,
        atol=1e-8,
    )
    X, Y = wide_problem()
    ridge = TaskRidge(0.5 * len(X)).fit(X, Y)
    np.testing.assert_allclose(GroupElasticNet(0.5, 1e-9, tol=1e-14).fit(X, Y).coef_, ridge.coef_, atol=1e-6)
    largest = GroupElasticNet().default_grid(Moments.from_arrays(X, Y))[0, 0]
    assert not GroupElasticNet(largest * 1.0001, 0.5, tol=1e-12).fit(X, Y).coef_.any()
    assert GroupElasticNet(largest * 0.99, 0.5, tol=1e-12).fit(X, Y).coef_.any()


def test_one_task_is_its_elastic_net():
    X, Y = wide_problem(q=1, missing=0.2)
    np.testing.assert_allclose(
        GroupElasticNet(0.1, 0.3, tol=1e-13).fit(X, Y).coef_,
        TaskElasticNet(0.1, l1_ratio=0.3, tol=1e-13).fit(X, Y).coef_,
        atol=1e-8,
    )


def test_cross_validation_chooses_scikit_learns_penalties():
    X, Y = wide_problem(100, 20)
    ours = GroupElasticNetCV(l1_ratios=[0.3, 0.9], n_alphas=10, eps=1e-2, tol=1e-10).fit(X, Y)
    by_ratio = []
    for k, ratio in enumerate([0.3, 0.9]):
        alphas = ours.grid_[10 * k : 10 * k + 10, 0]
        theirs = MultiTaskElasticNetCV(l1_ratio=ratio, alphas=alphas, cv=5, tol=1e-10, max_iter=100_000)
        theirs.fit(X, Y)
        by_ratio.append((theirs.mse_path_.mean(axis=1).min(), theirs.alpha_, ratio))
        np.testing.assert_allclose(
            ours.mse_path_[10 * k : 10 * k + 10].mean(axis=2), theirs.mse_path_, rtol=1e-4
        )
    assert (ours.alpha_, ours.l1_ratio_) == pytest.approx(min(by_ratio)[1:])


@pytest.mark.parametrize("ratio", [0.0, 1.1, np.nan])
def test_ratios_outside_their_range_are_refused(ratio):
    with pytest.raises(SettingError, match="l1_ratio must be above 0"):
        GroupElasticNet(0.1, ratio).fit(*wide_problem())
    with pytest.raises(SettingError, match="l1_ratio must be above 0"):
        GroupElasticNetCV(l1_ratios=[0.5, ratio]).fit(*wide_problem())
