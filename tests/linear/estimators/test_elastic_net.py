from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from problems import wide_problem
from row_oracles import labelled_problem, least_objective, objective, task_units
from sklearn.linear_model import ElasticNet, ElasticNetCV, LogisticRegression, Ridge

from polytask.errors import SettingError
from polytask.linear import Moments, TaskElasticNet, TaskElasticNetCV, TaskLasso

FACTORS = np.array([1.0, 0.5, 2.0, 1.0, 0.0, 1.0, 1.0, 3.0])


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("shape", [(60, 8), (20, 40)])
def test_equals_scikit_learn(shape, positive):
    X, Y = wide_problem(*shape)
    ours = TaskElasticNet([0.1, 0.5, 1.0], l1_ratio=0.4, positive=positive, tol=1e-13).fit(X, Y)
    for t, alpha in enumerate([0.1, 0.5, 1.0]):
        theirs = ElasticNet(alpha=alpha, l1_ratio=0.4, positive=positive, tol=1e-12, max_iter=100_000)
        theirs.fit(X, Y[:, t])
        np.testing.assert_allclose(ours.coef_[t], theirs.coef_, atol=1e-6)
        np.testing.assert_allclose(ours.intercept_[t], theirs.intercept_, atol=1e-5)


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson"])
@pytest.mark.parametrize(
    ("factors", "positive"), [(np.ones(8), False), (FACTORS, False), (FACTORS, True), (FACTORS + 0.5, True)]
)
def test_the_objective_is_the_least_there_is(loss, factors, positive):
    X, Y, w = labelled_problem(loss)
    alphas = np.array([0.1, 0.02, 0.3])
    model = TaskElasticNet(
        alphas,
        l1_ratio=0.3,
        loss=loss,
        positive=positive,
        penalty_factors=factors,
        tol=1e-10,
        max_iter=50_000,
    ).fit(X, Y, sample_weight=w)

    def penalty(B):
        return alphas @ (0.3 * np.abs(B) @ factors + 0.35 * B**2 @ factors)

    ours = objective(X, Y, w, loss, model.coef_, model.intercept_, penalty, per_task=True)
    least = least_objective(
        X, Y, w, loss, lambda B: alphas @ (0.3 * cp.abs(B) @ factors + 0.35 * cp.square(B) @ factors),
        positive=positive, per_task=True,
    )  # fmt: skip
    assert ours == pytest.approx(least, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("n", "loss"), [(60, "squared"), (60, "logistic"), (60, "poisson")])
@pytest.mark.parametrize("positive", [False, True])
def test_the_gap_bounds_the_distance_to_the_minimum(n, loss, positive):
    X, Y, w = labelled_problem(loss, n)
    settings = {"l1_ratio": 0.3, "loss": loss, "positive": positive}
    rough = TaskElasticNet(0.1, tol=3e-2, max_iter=50, **settings).fit(X, Y, sample_weight=w)
    exact = TaskElasticNet(0.1, tol=1e-12, max_iter=50_000, **settings).fit(X, Y, sample_weight=w)
    units = task_units(Y, w, per_task=True)

    def value(model, t):
        return objective(
            X, Y[:, t : t + 1], w, loss, model.coef_[t : t + 1], model.intercept_[t],
            lambda b: 0.1 * (0.3 * np.abs(b).sum() + 0.35 * (b**2).sum()),
        )  # fmt: skip

    above = np.array([value(rough, t) - value(exact, t) for t in range(3)])
    if np.ndim(rough.dual_gap_):
        assert np.all(above <= rough.dual_gap_ + 1e-10)
        assert above.max() > 1e-8
    else:
        # One gap for the sum of all tasks over their mean weight.
        assert 1e-8 < above @ units / units.mean() <= rough.dual_gap_ + 1e-10


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_logistic_loss_equals_scikit_learns_classifier(l1_ratio):
    X, Y, _ = labelled_problem("logistic", missing=0.0)
    ours = TaskElasticNet(0.03, l1_ratio=l1_ratio, loss="logistic", tol=1e-12, max_iter=50_000).fit(X, Y)
    for t in range(3):
        # scikit-learn sums the losses: C = 1 / (n alpha). saga leaves the intercept unpenalised.
        theirs = LogisticRegression(
            l1_ratio=l1_ratio, C=1 / (50 * 0.03), solver="saga", tol=1e-10, max_iter=100_000
        ).fit(X, Y[:, t])
        np.testing.assert_allclose(ours.coef_[t], theirs.coef_[0], atol=1e-5)
        np.testing.assert_allclose(ours.intercept_[t], theirs.intercept_[0], atol=1e-5)


def test_limits():
    X, Y = wide_problem(missing=0.3)
    lasso = TaskLasso(0.1, tol=1e-13).fit(X, Y)
    np.testing.assert_allclose(
        TaskElasticNet(0.1, l1_ratio=1, tol=1e-13).fit(X, Y).coef_, lasso.coef_, atol=1e-8
    )
    known = ~np.isnan(Y[:, 0])
    ridge = Ridge(alpha=2.0 * known.sum()).fit(X[known], Y[known, 0])
    nearly = TaskElasticNet(2.0, l1_ratio=1e-9, tol=1e-13).fit(X, Y)
    np.testing.assert_allclose(nearly.coef_[0], ridge.coef_, atol=1e-7)
    largest = TaskElasticNet(l1_ratio=0.2).default_grid(Moments.from_arrays(X, Y))[0]
    assert not TaskElasticNet(largest * 1.0001, l1_ratio=0.2, tol=1e-12).fit(X, Y).coef_.any()
    assert np.all(TaskElasticNet(largest * 0.99, l1_ratio=0.2, tol=1e-12).fit(X, Y).coef_.any(axis=1))


def test_cross_validation_chooses_scikit_learns_penalty():
    X, Y = wide_problem(100, 20)
    ours = TaskElasticNetCV(n_alphas=15, eps=1e-2, l1_ratio=0.5, tol=1e-10).fit(X, Y)
    for t in range(3):
        theirs = ElasticNetCV(l1_ratio=0.5, alphas=ours.alphas_[:, t], cv=5, tol=1e-10, max_iter=100_000)
        theirs.fit(X, Y[:, t])
        np.testing.assert_allclose(ours.alpha_[t], theirs.alpha_)
        np.testing.assert_allclose(ours.coef_[t], theirs.coef_, atol=1e-5)
        np.testing.assert_allclose(ours.mse_path_[:, :, t], theirs.mse_path_, rtol=1e-5)


def test_a_warm_start_starts_at_the_last_fit():
    X, Y = wide_problem(n=200, p=60, correlation=0.9)
    for loss, labels in (("squared", Y), ("logistic", (Y.mean(axis=0) < Y).astype(float))):
        model = TaskElasticNet(0.01, loss=loss, warm_start=True, tol=1e-6, standardize=True).fit(X, labels)
        first = model.n_iter_
        assert first > 5
        assert model.fit(X, labels).n_iter_ <= 1


@pytest.mark.parametrize("ratio", [0.0, -0.1, 1.1, np.nan])
def test_ratios_outside_their_range_are_refused(ratio):
    with pytest.raises(SettingError, match="l1_ratio must be above 0"):
        TaskElasticNet(l1_ratio=ratio).fit(*wide_problem())
