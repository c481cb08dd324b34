from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem
from sklearn.linear_model import MultiTaskLassoCV
from sklearn.model_selection import KFold

from polytask.errors import DataError, SettingError
from polytask.linear import GroupLasso, GroupLassoCV, TaskLassoCV, TaskRidgeCV
from polytask.linear.rolling import rolling_cv

CUTOFFS = [60, 67, 74, 90]


def assert_same_as_fits(model, X, Y, weight=None, window=None):
    """A fit at every cutoff, from scratch."""
    fits = rolling_cv(model, X, Y, weight, cutoffs=CUTOFFS, window=window)
    for index, cutoff in enumerate(CUTOFFS):
        rows = slice(0 if window is None else cutoff - window, cutoff)
        w = None if weight is None else weight[rows]
        alone = model.fit(X[rows], Y[rows], w)
        np.testing.assert_allclose(fits.penalties[index], alone.alpha_, rtol=1e-8)
        np.testing.assert_allclose(
            fits.errors[index].by_fold(), alone.mse_path_, rtol=1e-5, atol=1e-8, equal_nan=True
        )
        np.testing.assert_allclose(fits.coef[index], alone.coef_, atol=1e-5)
        np.testing.assert_allclose(fits.intercept[index], alone.intercept_, atol=1e-4)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("window", [None, 45])
@pytest.mark.parametrize(
    "model",
    [
        GroupLassoCV(n_alphas=12, tol=1e-10),
        GroupLassoCV(n_alphas=12, tol=1e-10, standardize=True, scale_targets=True),
        GroupLassoCV(n_alphas=12, tol=1e-10, penalty_factors=[1, 0, 2, 1, 1, 1, 1, 1], selection="1se"),
        TaskLassoCV(n_alphas=12, tol=1e-10),
        TaskRidgeCV(n_alphas=12, cv=3),
    ],
    ids=["group lasso", "scaled", "factors, 1se", "lasso", "ridge"],
)
def test_equals_a_fit_at_every_cutoff(model, missing, window):
    X, Y = wide_problem(n=90, missing=missing)
    weight = np.random.default_rng(0).uniform(0.2, 2, 90)
    assert_same_as_fits(model, X, Y, weight, window)


@pytest.mark.parametrize("k", [2, 5, 7])
def test_a_number_of_folds_cuts_the_blocks_of_k_fold(k):
    X, Y = wide_problem(n=90, missing=0.2)
    fits = [
        rolling_cv(GroupLassoCV(n_alphas=6, cv=cv), X, Y, cutoffs=CUTOFFS, window=45) for cv in (k, KFold(k))
    ]
    for ours, theirs in zip(*(fit.errors for fit in fits)):
        np.testing.assert_array_equal(ours.squared_error, theirs.squared_error)


def test_more_folds_than_rows_are_refused():
    X, Y = wide_problem(n=90)
    with pytest.raises(DataError, match="at least 5 rows"):
        rolling_cv(GroupLassoCV(cv=5), X, Y, cutoffs=[4, 60])


def test_folds_that_are_not_blocks():
    X, Y = wide_problem(n=90, missing=0.2)
    assert_same_as_fits(GroupLassoCV(n_alphas=8, tol=1e-10, cv=KFold(3, shuffle=True, random_state=0)), X, Y)


def test_columns_far_from_zero_and_constant_in_a_fold():
    X, Y = wide_problem(n=90)
    X[:, 1] += 1e6
    X[:20, 3] = X[60:, 3] = 2.0
    X[:, 5] = 7.0
    assert_same_as_fits(GroupLassoCV(n_alphas=8, tol=1e-10), X, Y)


def test_a_task_that_starts_late():
    X, Y = wide_problem(n=90)
    Y[:40, 1] = np.nan
    assert_same_as_fits(GroupLassoCV(n_alphas=8, tol=1e-10), X, Y)


def test_chooses_what_scikit_learn_chooses():
    X, Y = wide_problem(n=90)
    fits = rolling_cv(GroupLassoCV(n_alphas=30, tol=1e-8), X, Y, cutoffs=CUTOFFS)
    for cutoff, penalty in zip(CUTOFFS, fits.penalties):
        theirs = MultiTaskLassoCV(alphas=30, eps=1e-3, cv=5, tol=1e-8, max_iter=100_000)
        np.testing.assert_allclose(penalty, theirs.fit(X[:cutoff], Y[:cutoff]).alpha_)


def test_the_model_and_the_data_are_left_alone():
    X, Y = wide_problem(n=90)
    before, model = X.copy(), GroupLassoCV(n_alphas=4)
    rolling_cv(model, X, Y, cutoffs=[80])
    np.testing.assert_array_equal(X, before)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize(
    ("cutoffs", "window", "message"),
    [
        ([70, 60], None, "increase"),
        ([60, 91], None, "90 rows"),
        ([0, 60], None, "increase"),
        ([], None, "list of row numbers"),
        ([60.5], None, "list of row numbers"),
        ([60, 70], 61, "window=61"),
    ],
)
def test_bad_cutoffs_are_named(cutoffs, window, message):
    X, Y = wide_problem(n=90)
    with pytest.raises(DataError, match=message):
        rolling_cv(GroupLassoCV(), X, Y, cutoffs=cutoffs, window=window)


def test_losses_without_moments_are_refused():
    X, Y = wide_problem(n=90)
    with pytest.raises(SettingError, match="squared loss"):
        rolling_cv(GroupLassoCV(loss="logistic"), X, (Y > 0) * 1.0, cutoffs=[60])


def test_a_model_of_given_penalties_is_refused():
    with pytest.raises(SettingError, match="cross-validated model"):
        rolling_cv(GroupLasso(0.1), *wide_problem(n=90), cutoffs=[60])
