from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from problems import assert_same_moments, centred_gram, wide_problem
from scipy import sparse
from sklearn.base import clone

from polytask.data import TaskData
from polytask.errors import DataError
from polytask.linear import GroupLasso, MeanRegularized, Moments, TaskLasso, TaskRidge, centring


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
    np.testing.assert_allclose(zero.gram[zero.pattern[1]], X[known].T @ X[known], rtol=1e-12, atol=1e-11)
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


def badly_scaled(n=3000):
    """Features of a mean of 1e8 and a deviation of 1e-2, of a scale of 1e-8, drifting, and tame ones."""
    rng = np.random.default_rng(8)
    X = rng.normal(size=(n, 6))
    X[:, 1] += 0.8 * X[:, 0]
    X[:, 0] = 1e8 + 1e-2 * X[:, 0]
    X[:, 1] *= 1e-8
    X[:, 2] = 1e6 * np.linspace(-1, 1, n) + X[:, 2]
    Y = X[:, 3:5] + 1e8 * X[:, 1:2] + rng.normal(size=(n, 2))
    Y[:, 1] = 1e7 + 1e-3 * Y[:, 1]
    return X, Y


def in_extended_precision(Z, w):
    """Centred products by the definition, in long doubles."""
    Z, w = Z.astype(np.longdouble), w.astype(np.longdouble)
    Z = Z - (w @ Z) / w.sum()
    return (Z * w[:, None]).T @ Z


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_chunks", [1, 3, 100])
def test_badly_scaled_columns_keep_ten_digits(order, weighted, n_chunks):
    X, Y = badly_scaled()
    w = np.random.default_rng(1).uniform(0.5, 2, len(X)) if weighted else np.ones(len(X))
    chunks = zip(*(np.array_split(table, n_chunks) for table in (X, Y, w)))
    moments = Moments.from_chunks((np.asarray(x, order=order), y, v) for x, y, v in chunks)
    found = np.block([[moments.gram[0], moments.xty.T], [moments.xty, moments.target_gram]])
    exact = in_extended_precision(np.hstack([X, Y]), w)
    unit = np.sqrt(np.outer(exact.diagonal(), exact.diagonal()))
    np.testing.assert_allclose((found / unit).astype(float), (exact / unit).astype(float), atol=1e-11)
    mean = (w.astype(np.longdouble) @ X.astype(np.longdouble)) / w.sum()
    assert np.all(np.abs(moments.x_mean[0] - mean) <= 1e-14 * np.abs(X).max(axis=0))


def test_fits_of_badly_scaled_columns_from_chunks_equal_fits_from_data():
    X, Y = badly_scaled()
    parts = Moments.from_chunks(zip(np.array_split(X, 7), np.array_split(Y, 7)))
    whole = TaskRidge(alpha=3.0, standardize=True).fit(X, Y)
    chunked = TaskRidge(alpha=3.0, standardize=True).fit(parts)
    Z = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(float)
    by_rows = np.linalg.lstsq(
        np.vstack([Z, np.sqrt(3.0) * np.eye(6)]), np.vstack([Y - Y.mean(axis=0), np.zeros((6, 2))])
    )[0]
    for model in (whole, chunked):
        np.testing.assert_allclose(model.coef_ * X.std(axis=0), by_rows.T, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(
        chunked.coef_ * X.std(axis=0), whole.coef_ * X.std(axis=0), rtol=1e-10, atol=1e-12
    )


def test_blocks_of_rows_do_not_show(monkeypatch):
    X, Y = wide_problem(n=1100, missing=0.2)
    w = np.random.default_rng(0).uniform(0.5, 2, len(X))
    monkeypatch.setattr(centring, "_BLOCK", 1)
    small = Moments.from_arrays(X, Y, w)
    monkeypatch.setattr(centring, "_BLOCK", 10**9)
    assert_same_moments(small, Moments.from_arrays(X, Y, w))


def test_cross_products_of_targets_are_those_of_common_rows_alone():
    X, Y = wide_problem(q=3)
    Y[:7, 1] = np.nan
    w = np.random.default_rng(2).uniform(0.5, 2, len(X))
    moments = Moments.from_arrays(X, Y, w)
    centred = Y[:, [0, 2]] - np.average(Y[:, [0, 2]], axis=0, weights=w)
    np.testing.assert_allclose(moments.target_gram[0, 2], (w * centred[:, 0]) @ centred[:, 1], rtol=1e-10)
    assert moments.target_gram[0, 1] == moments.target_gram[1, 2] == 0
    np.testing.assert_array_equal(moments.n_labels, [60, 53, 60])


def test_tasks_that_part_lose_their_cross_products():
    X, Y = wide_problem(q=2)
    Y[50:, 1] = np.nan
    first, second = Moments.from_arrays(X[:50], Y[:50]), Moments.from_arrays(X[50:], Y[50:])
    assert first.target_gram[0, 1] != 0
    assert (first + second).target_gram[0, 1] == 0


def test_names_of_features_must_agree():
    X, Y = wide_problem(p=2)
    moments = Moments.from_arrays(X, Y)
    named, other = replace(moments, feature_names=("a", "b")), replace(moments, feature_names=("b", "a"))
    assert (named + moments).feature_names == (moments + named).feature_names == ("a", "b")
    with pytest.raises(DataError, match="same order"):
        named + other


@pytest.mark.parametrize(
    ("X", "Y", "weight", "message"),
    [
        (np.array([[1.0], [np.nan], [2.0]]), np.ones(3), None, "feature 0 is NaN or infinite in 1 rows"),
        (np.ones((3, 1)), np.array([1.0, -np.inf, np.nan]), None, "'y0' holds infinite"),
        (np.ones((3, 1)), np.ones(3), np.array([1.0, -1.0, 1.0]), "zero or more"),
        (np.ones((3, 1)), np.ones(2), None, "3 rows"),
    ],
)
def test_data_without_moments_are_refused(X, Y, weight, message):
    with pytest.raises(DataError, match=message):
        Moments.from_arrays(X, Y, weight)


def test_moments_of_a_part_of_another_memory_layout_add_up():
    X, Y = wide_problem()
    moments = Moments.from_arrays(X, Y)
    other = Moments.from_arrays(X[:30] + 1, Y[:30])
    fortran = replace(moments, gram=np.asfortranarray(moments.gram[0]).T[None].transpose(0, 2, 1))
    assert not fortran.gram.flags.c_contiguous
    assert_same_moments(fortran + other, moments + other)


@pytest.mark.parametrize(
    "model",
    [
        TaskRidge(0.5, standardize=True),
        TaskLasso(1e-3, tol=1e-14, standardize=True),
        GroupLasso(1e-3, tol=1e-14, standardize=True),
        MeanRegularized(0.5, 0.7, standardize=True),
    ],
)
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_every_way_to_moments_gives_the_fit_of_the_data(model, missing, tmp_path):
    X, Y = badly_scaled(900)
    Y[np.random.default_rng(0).random(Y.shape) < missing] = np.nan
    of_data = clone(model).fit(X, Y)
    first, rest = Moments.from_arrays(X[:300], Y[:300]), Moments.from_arrays(X[300:], Y[300:])
    whole = Moments.from_chunks(zip(np.array_split(X, 11), np.array_split(Y, 11)))
    whole.save(tmp_path / "file")
    for moments in (whole, first + rest, Moments.load(tmp_path / "file"), whole + first - first):
        found = clone(model).fit(moments)
        unit = X.std(axis=0) / np.nanstd(Y, axis=0)[:, None]
        np.testing.assert_allclose(found.coef_ * unit, of_data.coef_ * unit, atol=1e-10)
