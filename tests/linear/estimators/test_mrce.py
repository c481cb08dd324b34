from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem

from polytask.data import TaskData
from polytask.errors import DataError, SettingError
from polytask.linear import MRCE, MRCECV, LabelledTable, Moments, TaskLasso, TaskRidge


def correlated_problem(n=60, p=8, q=4, seed=0):
    """Sparse coefficients and errors with correlations of .9; also the coefficients (q, p)."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 2.0
    B = rng.normal(size=(q, p)) * (rng.random((q, p)) < 0.4)
    errors = np.sqrt(0.9) * rng.normal(size=(n, 1)) + np.sqrt(0.1) * rng.normal(size=(n, q))
    return X, X @ B.T + 1.0 + errors, B


def objective(X, Y, model, weights=None):
    """The documented objective, from the data."""
    w = np.ones(len(Y)) if weights is None else weights
    R = Y - X @ model.coef_.T - model.intercept_
    omega = model.error_precision_
    floor = 1e-6 * np.average((Y - np.average(Y, axis=0, weights=w)) ** 2, axis=0, weights=w)
    off_diagonal = np.abs(omega).sum() - np.trace(np.abs(omega))
    likelihood = np.trace((R * w[:, None]).T @ R @ omega) / w.sum() - np.linalg.slogdet(omega)[1]
    penalties = model.error_alpha * off_diagonal + model.alpha * np.abs(model.coef_).sum()
    return likelihood + penalties + floor @ np.diag(omega)


def test_nothing_nearby_is_lower_than_the_fit():
    X, Y, _ = correlated_problem()
    w = np.random.default_rng(1).uniform(0.5, 2.0, len(X))
    model = MRCE(0.1, 0.05, scale_targets=False, tol=1e-9).fit(X, Y, sample_weight=w)
    best = objective(X, Y, model, w)
    assert model.dual_gap_ <= 4e-9
    rng = np.random.default_rng(2)
    for _ in range(40):
        other = MRCE(0.1, 0.05)
        other.coef_ = model.coef_ + 1e-3 * rng.normal(size=model.coef_.shape)
        other.intercept_ = model.intercept_ + 1e-3 * rng.normal(size=4)
        step = 1e-3 * rng.normal(size=(4, 4))
        other.error_precision_ = model.error_precision_ + step + step.T
        assert objective(X, Y, other, w) > best


def test_correlated_errors_are_learned_and_help():
    off = {"mrce": 0.0, "lasso": 0.0}
    for seed in range(5):
        X, Y, B = correlated_problem(seed=seed)
        model = MRCE(0.15, 0.02).fit(X, Y)
        covariance = np.linalg.inv(model.error_precision_)
        spread = np.sqrt(np.diag(covariance))
        assert np.all(covariance / np.outer(spread, spread) > 0.7)
        off["mrce"] += np.sum((model.coef_ - B) ** 2)
        grid = [0.02, 0.05, 0.1, 0.2]
        lassos = [TaskLasso(alpha).fit(X, Y).coef_ for alpha in grid]
        off["lasso"] += min(np.sum((coef - B) ** 2) for coef in lassos)
    assert off["mrce"] < 0.6 * off["lasso"]


def test_one_task_of_known_variance_is_the_lasso():
    X, Y, _ = correlated_problem(q=1)
    model = MRCE(0.2, 0.1, scale_targets=False, tol=1e-9).fit(X, Y)
    variance = 1 / model.error_precision_.item()
    lasso = TaskLasso(0.1 * variance, tol=1e-12).fit(X, Y)
    np.testing.assert_allclose(model.coef_, lasso.coef_, atol=1e-5)


def test_limits_of_the_penalty_of_coefficients():
    X, Y, _ = correlated_problem()
    np.testing.assert_allclose(
        MRCE(1e-7, tol=1e-10).fit(X, Y).coef_, TaskRidge(0.0).fit(X, Y).coef_, atol=1e-5
    )
    model = MRCE()
    grid = model.default_grid(Moments.from_arrays(X, Y), 5)
    for error_alpha in np.unique(grid[:, 1]):
        largest = grid[grid[:, 1] == error_alpha, 0].max()
        above = MRCE(1.001 * largest, error_alpha, tol=1e-8).fit(X, Y)
        assert not above.coef_.any()
        assert MRCE(0.8 * largest, error_alpha, tol=1e-8).fit(X, Y).coef_.any()


def test_precision_follows_the_targets_units():
    X, Y, _ = correlated_problem()
    units = np.array([1.0, 10.0, 0.1, 3.0])
    one, other = MRCE(tol=1e-9).fit(X, Y), MRCE(tol=1e-9).fit(X, Y * units)
    np.testing.assert_allclose(other.coef_, one.coef_ * units[:, None], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(
        other.error_precision_, one.error_precision_ / np.outer(units, units), rtol=1e-4, atol=1e-7
    )


def test_moments_give_the_same_fit_and_a_warm_start_needs_fewer_rounds():
    X, Y, _ = correlated_problem()
    model = MRCE(tol=1e-8, warm_start=True).fit(X, Y)
    np.testing.assert_allclose(MRCE(tol=1e-8).fit(Moments.from_arrays(X, Y)).coef_, model.coef_, atol=1e-7)
    rounds = model.n_iter_
    assert model.fit(X, Y).n_iter_ < rounds


def test_positive_coefficients_and_penalty_factors():
    X, Y, _ = correlated_problem()
    positive = MRCE(0.05, positive=True).fit(X, Y).coef_
    assert positive.min() >= 0
    assert positive.any()
    factors = np.array([0.0, 100.0] + [1.0] * 6)
    model = MRCE(0.3, penalty_factors=factors).fit(X, Y)
    assert model.coef_[:, 0].all()
    assert not model.coef_[:, 1].any()


def test_missing_labels_use_what_other_tasks_say():
    X, Y, B = correlated_problem(n=120)
    rng = np.random.default_rng(0)
    Y[rng.random(Y.shape) < 0.3] = np.nan
    model = MRCE(0.05, 0.02).fit(X, Y)
    separate = TaskRidge(0.0).fit(X, Y)
    assert np.sum((model.coef_ - B) ** 2) < 0.7 * np.sum((separate.coef_ - B) ** 2)
    # Intercepts too are those of the likelihood, not of the known rows' means.
    assert np.isfinite(model.intercept_).all()


def test_one_step_is_close_to_the_fit_and_takes_one_round():
    X, Y, _ = correlated_problem()
    one, full = MRCE(0.05, one_step=True).fit(X, Y), MRCE(0.05).fit(X, Y)
    assert one.n_iter_ == 1 < full.n_iter_
    assert 0 < np.abs(one.coef_ - full.coef_).max() < 0.1


def test_cross_validation_chooses_the_least_error_of_refitted_folds():
    X, Y, _ = correlated_problem()
    folds = [(np.arange(20, 60), np.arange(20)), (np.arange(40), np.arange(40, 60))]
    chosen = MRCECV(alphas=[1.0, 0.1], error_alphas=[0.1, 0.01], cv=folds, tol=1e-7, scale_targets=False)
    chosen.fit(X, Y)
    totals = {}
    for alpha, error_alpha in chosen.grid_:
        model = MRCE(alpha, error_alpha, tol=1e-7, scale_targets=False)
        totals[alpha, error_alpha] = sum(
            np.sum((Y[test] - model.fit(X[train], Y[train]).predict(X[test])) ** 2) for train, test in folds
        )
    assert min(totals, key=totals.get) == (chosen.alpha_, chosen.error_alpha_)
    assert chosen.mse_path_.shape == (4, 2, 4)


def test_features_that_fit_exactly_leave_a_finite_precision():
    X, Y = wide_problem(n=10, p=20)
    Y[:, 1] = 3.0
    model = MRCE(1e-3, 0.1, tol=1e-3).fit(X, Y)
    assert np.isfinite(model.error_precision_).all()
    assert not model.coef_[1].any()


def test_what_it_cannot_take_is_named():
    X, Y = wide_problem()
    tasks = TaskData.from_dict({"a": (X[:30], Y[:30, 0]), "b": (X[30:], Y[30:, 1])})
    with pytest.raises(DataError, match="MRCE can't take tasks with their own rows"):
        MRCE().fit(tasks)
    Y[0, 0] = np.nan
    with pytest.raises(DataError, match="fitted from rows"):
        MRCE().fit(Moments.from_arrays(X, Y))
    with pytest.raises(SettingError, match="error_alpha"):
        MRCE(0.1, -1.0).fit(X, Y)
    with pytest.raises(SettingError, match="fitted by 'squared'"):
        MRCE(loss="poisson").fit(X, Y)


@pytest.mark.parametrize("settings", [{}, {"one_step": True}])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_positive_coefficients_with_unpenalised_features_are_refused(settings, missing):
    X, Y = wide_problem(missing=missing)
    factors = np.ones(X.shape[1])
    factors[0] = 0
    for model in (MRCE, MRCECV):
        with pytest.raises(
            SettingError, match=f"{model.__name__} can't take positive=True with penalty_factors of zero"
        ):
            model(positive=True, penalty_factors=factors, **settings).fit(X, Y)


def test_errors_of_missing_labels_name_their_cause():
    X, Y = wide_problem(missing=0.2)
    factors = np.ones(X.shape[1])
    factors[0] = 0
    with pytest.raises(DataError, match="penalty_factors of zero where labels are missing"):
        MRCE(penalty_factors=factors).fit(X, Y)
    with pytest.raises(DataError, match=r"call fit\(X, y\)\.$") as error:
        MRCE().fit(Moments.from_table(LabelledTable.from_arrays(X, Y)))
    assert "penalty" not in str(error.value)


def test_the_objective_is_that_of_the_authors_package():
    """At independent errors: lam2 = alpha / 2 with 2 lam2 Σ|b| is the lasso of penalty alpha v / 2."""
    X, Y = wide_problem(q=1, n=200)
    model = MRCE(0.4, 0.0, scale_targets=False, tol=1e-10).fit(X, Y[:, 0])
    variance = 1 / model.error_precision_[0, 0]
    lasso = TaskLasso(0.4 * variance / 2, tol=1e-12).fit(X, Y[:, 0])
    np.testing.assert_allclose(model.coef_, lasso.coef_, atol=1e-5)
