from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem

from polytask.data import TaskData
from polytask.errors import DataError, SettingError
from polytask.linear import Moments, MrRCE, MrRCECV, TaskRidge
from polytask.linear.estimators import mrrce as module
from polytask.linear.estimators.mrrce import contrasts


def related_problem(n=50, p=15, q=4, similarity=0.6, sigma=1.0, correlation=0.5, seed=0):
    """Coefficients with a similarity over tasks, correlated errors of variance 1; also the coefficients (q, p)."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 2.0
    B = sigma * rng.multivariate_normal(np.zeros(q), (1 - similarity) * np.eye(q) + similarity, p)
    errors = rng.multivariate_normal(np.zeros(q), (1 - correlation) * np.eye(q) + correlation, n)
    return X, X @ B + 3.0 + errors, B.T


@pytest.mark.parametrize("similarity", [0.0, 0.4, 0.8])
def test_similarity_and_variance_are_learned(similarity):
    fits = [
        MrRCE(0.0).fit(*related_problem(similarity=similarity, sigma=2.0, seed=seed)[:2])
        for seed in range(25)
    ]
    found = np.mean([model.similarity_ for model in fits])
    assert abs(found - similarity) < 0.08
    assert abs(np.mean([np.sqrt(model.coef_variance_) for model in fits]) - 2.0) < 0.2


def test_it_beats_ridge_and_least_squares_on_its_own_truth():
    off = np.zeros(3)
    for seed in range(8):
        X, Y, B = related_problem(n=30, similarity=0.9, correlation=-0.3, seed=seed)
        models = [MrRCE(0.05), TaskRidge(1.0), TaskRidge(0.0)]
        off += [np.sum((model.fit(X, Y).coef_ - B) ** 2) for model in models]
    assert off[0] < 0.6 * off[1] < 0.6 * off[2]


def test_equal_tasks_have_equal_coefficients():
    X, Y, _ = related_problem(q=1)
    errors = 0.1 * np.random.default_rng(1).normal(size=(50, 3))
    model = MrRCE(0.0, max_iter=20_000).fit(X, Y + errors)
    assert model.similarity_ > 0.98
    assert np.ptp(model.coef_, axis=0).max() < 0.1


def test_learned_matrices_are_in_the_targets_units():
    X, Y, _ = related_problem()
    units = np.array([1.0, 10.0, 0.1, 3.0])
    one = MrRCE(0.05, scale_targets=True, tol=1e-8).fit(X, Y)
    other = MrRCE(0.05, scale_targets=True, tol=1e-8).fit(X, Y * units)
    np.testing.assert_allclose(other.coef_, one.coef_ * units[:, None], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(other.similarity_, one.similarity_, rtol=1e-5)
    squares = np.outer(units, units)
    np.testing.assert_allclose(other.task_covariance_, one.task_covariance_ * squares, rtol=1e-5)
    np.testing.assert_allclose(other.error_precision_, one.error_precision_ / squares, rtol=1e-3, atol=1e-6)
    plain = MrRCE(0.05).fit(X, Y)
    expected = plain.coef_variance_ * (
        (1 - plain.similarity_) * np.eye(4) + plain.similarity_ * np.ones((4, 4))
    )
    np.testing.assert_allclose(plain.task_covariance_, expected)


def test_moments_give_the_same_fit_and_a_warm_start_needs_fewer_steps():
    X, Y, _ = related_problem()
    model = MrRCE(tol=1e-8, warm_start=True).fit(X, Y)
    np.testing.assert_allclose(MrRCE(tol=1e-8).fit(Moments.from_arrays(X, Y)).coef_, model.coef_, atol=1e-9)
    steps = model.n_iter_
    again = model.fit(X, Y)
    assert again.n_iter_ < steps


def test_penalty_factors_divide_the_prior_variance():
    X, Y, _ = related_problem()
    factors = np.ones(15)
    factors[3] = 1e8
    fitted = MrRCE(penalty_factors=factors, tol=1e-8).fit(X, Y)
    without = MrRCE(tol=1e-8).fit(np.delete(X, 3, axis=1), Y)
    assert np.abs(fitted.coef_[:, 3]).max() < 1e-5
    np.testing.assert_allclose(np.delete(fitted.coef_, 3, axis=1), without.coef_, atol=0.05)
    factors[3] = 0.0
    free = MrRCE(penalty_factors=factors, tol=1e-8).fit(X, Y)
    residual = Y - free.predict(X)
    # A fixed effect's residuals are uncorrelated with its feature, in every task.
    np.testing.assert_allclose((X[:, 3] - X[:, 3].mean()) @ residual, 0.0, atol=1e-6)


def test_missing_labels_and_own_rows_are_fitted_by_what_is_known():
    X, Y, B = related_problem(n=60, p=8, similarity=0.9, correlation=-0.3, seed=1)
    Y[np.random.default_rng(0).random(Y.shape) < 0.3] = np.nan
    model = MrRCE(0.05).fit(X, Y)
    assert np.sum((model.coef_ - B) ** 2) < 0.8 * np.sum((TaskRidge(0.0).fit(X, Y).coef_ - B) ** 2)
    tables = {f"t{t}": (X[t::4], Y[t::4, t]) for t in range(4)}
    known = {name: (x[~np.isnan(y)], y[~np.isnan(y)]) for name, (x, y) in tables.items()}
    apart = MrRCE(0.05).fit(TaskData.from_dict(known))
    ridge = TaskRidge(1.0).fit(TaskData.from_dict(known))
    assert np.sum((apart.coef_ - B) ** 2) < 0.9 * np.sum((ridge.coef_ - B) ** 2)
    # Nothing tells the correlation of errors that never meet in a row.
    np.testing.assert_allclose(apart.error_precision_, np.diag(np.diag(apart.error_precision_)), atol=1e-9)


def test_contrasts_diagonalise_equicorrelation_and_start_with_the_mean():
    U = contrasts(5)
    np.testing.assert_allclose(U.T @ U, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(U[:, 0], 1 / np.sqrt(5))
    rotated = U.T @ (0.3 * np.eye(5) + 0.7) @ U
    np.testing.assert_allclose(rotated, np.diag([3.8, 0.3, 0.3, 0.3, 0.3]), atol=1e-12)


def test_the_penalty_acts_on_the_chosen_basis():
    X, Y, _ = related_problem()
    alpha = 10.0 * Y.var()
    tasks = MrRCE(alpha).fit(X, Y).error_precision_
    np.testing.assert_allclose(tasks, np.diag(np.diag(tasks)), atol=1e-9)
    U = contrasts(4)
    rotated = U.T @ MrRCE(alpha, error_basis="contrasts").fit(X, Y).error_precision_ @ U
    np.testing.assert_allclose(rotated, np.diag(np.diag(rotated)), atol=1e-9)
    with pytest.raises(SettingError, match="error_basis must be"):
        MrRCE(error_basis="none").fit(X, Y)


def test_the_grid_starts_where_the_precision_becomes_diagonal():
    X, Y, _ = related_problem()
    grid = MrRCE().default_grid(Moments.from_arrays(X, Y))
    assert len(grid) == 10
    np.testing.assert_allclose(grid[-1], 1e-3 * grid[0])
    off_diagonal = ~np.eye(4, dtype=bool)
    assert np.abs(MrRCE(1.02 * grid[0], tol=1e-8).fit(X, Y).error_precision_[off_diagonal]).max() < 1e-9
    assert np.abs(MrRCE(0.9 * grid[0], tol=1e-8).fit(X, Y).error_precision_[off_diagonal]).max() > 1e-3


def test_cross_validation_chooses_the_least_error_of_refitted_folds():
    X, Y, _ = related_problem()
    folds = [(np.arange(20, 50), np.arange(20)), (np.arange(30), np.arange(30, 50))]
    chosen = MrRCECV(alphas=[0.3, 0.03, 0.003], cv=folds, tol=1e-8).fit(X, Y)
    totals = {
        alpha: sum(
            np.sum((Y[test] - MrRCE(alpha, tol=1e-8).fit(X[train], Y[train]).predict(X[test])) ** 2)
            for train, test in folds
        )
        for alpha in chosen.alphas_
    }
    assert min(totals, key=totals.get) == chosen.alpha_
    assert chosen.residual_ <= 1e-7


def test_what_it_cannot_take_is_named(monkeypatch):
    X, Y = wide_problem()
    with pytest.raises(SettingError, match="MrRCE can't take positive=True"):
        MrRCE(positive=True).fit(X, Y)
    Y[0, 0] = np.nan
    with pytest.raises(DataError, match="fitted from rows"):
        MrRCE().fit(Moments.from_arrays(X, Y))
    monkeypatch.setattr(module, "_LARGEST_SYSTEM", 20)
    with pytest.raises(DataError, match="takes at most 20"):
        MrRCE().fit(X, Y)


def test_labels_of_one_row_share_its_weight():
    X, Y = wide_problem(n=20, q=2)
    whole = TaskData.from_wide(X, Y)
    weights = {**whole.weights, "y1": np.where(np.arange(20) == 3, 5.0, 1.0)}
    data = TaskData(X, whole.tasks, whole.rows, whole.targets, weights, form="wide")
    with pytest.raises(DataError, match="Row 3 has labels of different weights"):
        MrRCE().fit(data)
