from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem
from scipy import sparse

from polytask.linear import Moments, TaskRidge
from polytask.linear.estimators.graph import GraphRegularized
from polytask.linear.estimators.row_space import row_space
from polytask.linear.problem import Problem
from polytask.linear.table import LabelledTable

LOSSES = ["squared", "logistic", "poisson"]


def problem_of(X, Y, **settings):
    table = LabelledTable.from_arrays(X, Y)
    given = {"loss": "squared", "fit_intercept": True, "factors": np.ones(X.shape[1]), **settings}
    return Problem(table, x_scale=np.linspace(1, 2, X.shape[1]), y_scale=np.ones(Y.shape[1]), **given)


@pytest.mark.parametrize("thin", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_lengths_and_predictors_are_kept(thin, fit_intercept):
    X, Y = wide_problem(n=15, p=30, missing=0.2)
    given = sparse.csr_matrix(X) if thin else X
    space = row_space(problem_of(given, Y, fit_intercept=fit_intercept))
    small = space.problem.n_features
    assert small <= 15
    coef = np.random.default_rng(0).normal(size=(2, 3, small))
    lifted = space.lift(coef)
    assert lifted.shape == (2, 3, 30)
    np.testing.assert_allclose(
        np.einsum("ktj,ksj->kts", lifted, lifted), np.einsum("ktj,ksj->kts", coef, coef)
    )
    intercept = space.lift_intercept(np.zeros((2, 3)), lifted)
    ours = X / np.linspace(1, 2, 30) @ lifted[1].T + intercept[1]
    np.testing.assert_allclose(ours, space.problem.table.X @ coef[1].T, atol=1e-8)


def test_only_problems_that_get_smaller_are_rotated():
    X, Y = wide_problem(n=15, p=30)
    assert row_space(problem_of(X, Y)) is not None
    assert row_space(problem_of(X[:, :10], Y)) is None
    assert row_space(problem_of(X, Y, factors=np.append(0.0, np.ones(29)))) is None
    assert row_space(problem_of(X, Y, positive=True)) is None
    assert row_space(problem_of(np.ones((15, 30)), Y)) is None


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("standardize", [False, True])
def test_wide_fits_equal_those_without_rotation(loss, standardize):
    X, Y = wide_problem(n=20, p=30, missing=0.2)
    X = X - X.mean(axis=0)
    if loss != "squared":
        level = np.nanmedian(Y, axis=0)
        Y = np.where(np.isnan(Y), np.nan, (level < Y) * (1.0 if loss == "logistic" else 3.0))
    settings = {"loss": loss, "standardize": standardize, "tol": 1e-14}
    ours = GraphRegularized(2.0, 3.0, **settings).fit(X, Y)
    plain = GraphRegularized(2.0, 3.0, **settings)
    unreduced = GraphRegularized._solve_free
    plain._solve = lambda problem, grid: unreduced(plain, problem, grid)
    plain.fit(X, Y)
    np.testing.assert_allclose(ours.coef_, plain.coef_, atol=1e-6)
    np.testing.assert_allclose(ours.intercept_, plain.intercept_, atol=1e-6)


def test_rows_and_moments_give_the_same_ridge():
    X, Y = wide_problem(n=20, p=40, missing=0.2)
    np.testing.assert_allclose(
        TaskRidge(3.0).fit(X, Y).coef_, TaskRidge(3.0).fit(Moments.from_arrays(X, Y)).coef_, atol=1e-9
    )
