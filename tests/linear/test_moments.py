from __future__ import annotations

import numpy as np
import pytest
from problems import assert_same_moments, centred_gram, wide_problem
from scipy import sparse

from polytask.data import TaskData
from polytask.errors import DataError
from polytask.linear import Moments, TaskRidge


@pytest.mark.parametrize("as_table", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("weighted", [False, True])
def test_moments_are_the_centred_sums_of_each_task(as_table, weighted):
    X, Y = wide_problem(missing=0.3)
    X[:, :4][np.random.default_rng(1).random((len(X), 4)) < 0.7] = 0
    w = np.random.default_rng(2).uniform(0.1, 3, len(X)) if weighted else None
    moments = Moments.from_arrays(as_table(X), Y, w)
    for task, y in enumerate(Y.T):
        gram, xty, yty = centred_gram(X, y, w)
        np.testing.assert_allclose(moments.gram[moments.pattern[task]], gram, atol=1e-10 * np.abs(gram).max())
        np.testing.assert_allclose(moments.xty[task], xty, atol=1e-10 * np.abs(xty).max())
        np.testing.assert_allclose(moments.yty[task], yty, rtol=1e-10)


def test_tasks_with_the_same_missing_labels_share_a_gram():
    X, Y = wide_problem(q=4)
    Y[:5, 2] = np.nan
    assert Moments.from_arrays(X, Y).gram.shape[0] == 2
    assert Moments.from_arrays(X, Y).pattern.tolist() == [0, 0, 1, 0]


def test_rows_of_weight_zero_are_as_good_as_absent():
    X, Y = wide_problem(missing=0.2)
    w = np.ones(len(X))
    w[:20] = 0
    assert_same_moments(Moments.from_arrays(X, Y, w), Moments.from_arrays(X[20:], Y[20:]))


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_parts_add_up_to_the_whole_and_can_be_taken_away(missing):
    X, Y = wide_problem(missing=missing)
    w = np.random.default_rng(3).uniform(0.5, 2, len(X))
    whole = Moments.from_arrays(X, Y, w)
    first, second = Moments.from_arrays(X[:17], Y[:17], w[:17]), Moments.from_arrays(X[17:], Y[17:], w[17:])
    assert_same_moments(first + second, whole)
    assert_same_moments(whole - first, second)
    assert_same_moments(whole - second, first)


def test_taking_everything_away_leaves_nothing():
    whole = Moments.from_arrays(*wide_problem(missing=0.2))
    nothing = whole - whole
    assert not nothing.task_weight.any()
    assert not nothing.gram.any()
    assert not nothing.xty.any()


def test_a_feature_that_becomes_constant_by_subtraction_is_exactly_constant():
    X, Y = wide_problem()
    X[20:, 3] = 7.1
    rest = Moments.from_arrays(X, Y) - Moments.from_arrays(X[:20], Y[:20])
    assert not rest.gram[:, 3].any()
    assert not rest.xty[:, 3].any()


def test_subtracting_more_than_there_is_is_refused():
    X, Y = wide_problem()
    with pytest.raises(DataError, match="more weight"):
        Moments.from_arrays(X[:10], Y[:10]) - Moments.from_arrays(X, Y)


def test_different_problems_do_not_combine():
    X, Y = wide_problem()
    with pytest.raises(DataError, match="cannot be combined"):
        Moments.from_arrays(X, Y) + Moments.from_arrays(X[:, :4], Y)


@pytest.mark.parametrize("as_table", [np.asarray, sparse.csr_matrix])
def test_a_column_far_from_zero_loses_no_digits(as_table):
    X, Y = wide_problem()
    # Multiples of 2⁻²⁰ survive the shift exactly, so both tables hold the same centred numbers.
    X = np.round(X * 2**20) / 2**20
    shifted = X.copy()
    shifted[:, 2] += 2.0**20
    plain, moved = Moments.from_arrays(X, Y), Moments.from_arrays(as_table(shifted), Y)
    np.testing.assert_allclose(moved.gram, plain.gram, rtol=1e-9, atol=1e-9)
    halves = Moments.from_arrays(shifted[:25], Y[:25]) + Moments.from_arrays(shifted[25:], Y[25:])
    np.testing.assert_allclose(halves.gram, plain.gram, rtol=1e-9, atol=1e-7)


def test_a_constant_column_is_exactly_constant_in_spite_of_rounding():
    X, Y = wide_problem()
    X[:, 1] = 0.1
    moments = Moments.from_arrays(X, Y, np.random.default_rng(0).uniform(size=len(X)))
    assert moments.variance[1] == 0
    assert not moments.xty[:, 1].any()


def test_squared_error_is_that_of_the_predictions():
    X, Y = wide_problem(missing=0.3)
    w = np.random.default_rng(4).uniform(0.5, 2, len(X))
    rng = np.random.default_rng(5)
    coef, intercept = rng.normal(size=(4, 3, X.shape[1])), rng.normal(size=(4, 3))
    error = Moments.from_arrays(X, Y, w).squared_error(coef, intercept)
    for point in range(4):
        residual = np.nan_to_num(Y - X @ coef[point].T - intercept[point])
        np.testing.assert_allclose(error[point], (w[:, None] * residual**2).sum(axis=0), rtol=1e-10)


def test_scaling_and_moving_to_zero_equal_doing_so_to_the_data():
    X, Y = wide_problem(missing=0.2)
    x_scale, y_scale = np.linspace(1, 5, X.shape[1]), np.array([2.0, 3.0, 0.5])
    assert_same_moments(
        Moments.from_arrays(X, Y).scaled(x_scale, y_scale), Moments.from_arrays(X / x_scale, Y / y_scale)
    )
    zero = Moments.from_arrays(X, Y).about_zero()
    known = ~np.isnan(Y[:, 1])
    np.testing.assert_allclose(zero.gram[zero.pattern[1]], X[known].T @ X[known], rtol=1e-12)
    np.testing.assert_allclose(zero.xty[1], X[known].T @ Y[known, 1], rtol=1e-12)
    np.testing.assert_allclose(zero.yty[1], (Y[known, 1] ** 2).sum(), rtol=1e-12)


def test_select_by_name_and_position():
    X, Y = wide_problem(missing=0.2)
    moments = Moments.from_arrays(X, Y, task_names=["a", "b", "c"])
    chosen = moments.select(["c", 0])
    assert chosen.task_names == ("c", "a")
    assert_same_moments(chosen, Moments.from_arrays(X, Y[:, [2, 0]], task_names=["c", "a"]))
    with pytest.raises(DataError, match="No task named 'd'"):
        moments.select(["d"])


def test_from_task_data_with_own_rows_equals_each_table_alone():
    tables = {f"t{k}": wide_problem(n=9 + 4 * k, q=1, seed=k) for k in range(3)}
    data = TaskData.from_dict({name: (X, Y[:, 0]) for name, (X, Y) in tables.items()})
    moments = Moments.from_task_data(data)
    assert moments.task_names == ("t0", "t1", "t2")
    for k, (X, Y) in enumerate(tables.values()):
        assert_same_moments(moments.select([k]), Moments.from_arrays(X, Y, task_names=[f"t{k}"]))


def test_fits_from_moments_equal_fits_from_data():
    X, Y = wide_problem(n=200)
    parts = Moments.from_arrays(X[:80], Y[:80]) + Moments.from_arrays(X[80:], Y[80:])
    path = TaskRidge().coef_path(parts, np.full((1, 3), 2.0))
    centred = X - X.mean(axis=0)
    expected = np.linalg.solve(centred.T @ centred + 2 * np.eye(X.shape[1]), centred.T @ Y).T
    np.testing.assert_allclose(path.coef[0], expected, rtol=1e-10, atol=1e-10)
