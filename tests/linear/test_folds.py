from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from problems import assert_same_moments, wide_problem
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, TimeSeriesSplit

from polytask.data import TaskData
from polytask.errors import DataError, SettingError
from polytask.linear import LabelledTable, Moments, fold_moments, split_rows
from polytask.linear.folds import whole_and_folds


@pytest.mark.parametrize(
    "splitter", [KFold(4, shuffle=True, random_state=0), ShuffleSplit(3, test_size=0.2, random_state=0)]
)
def test_fold_moments_are_those_of_the_rows(splitter):
    X, Y = wide_problem(missing=0.3)
    w = np.random.default_rng(0).uniform(0.5, 2, len(X))
    table = LabelledTable.from_arrays(X, Y, w)
    folds = split_rows(table, splitter)
    for (train, test), fold in zip(folds, fold_moments(table, folds)):
        assert_same_moments(fold.train, Moments.from_arrays(X[train], Y[train], w[train]))
        assert_same_moments(fold.test, Moments.from_arrays(X[test], Y[test], w[test]))


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize(
    "splitter", [KFold(4), KFold(4, shuffle=True, random_state=0), TimeSeriesSplit(3)], ids=str
)
def test_the_whole_is_that_of_all_rows_whether_folds_partition_them_or_not(splitter, missing):
    X, Y = wide_problem(missing=missing)
    w = np.random.default_rng(0).uniform(0.5, 2, len(X))
    table = LabelledTable.from_arrays(X, Y, w)
    splits = split_rows(table, splitter)
    whole, folds = whole_and_folds(table, splits)
    assert_same_moments(whole, Moments.from_table(table))
    for ours, theirs in zip(folds, fold_moments(table, splits)):
        assert_same_moments(ours.train, theirs.train)


def test_an_int_cuts_consecutive_blocks_as_scikit_learn_does():
    table = LabelledTable.from_arrays(*wide_problem(n=23))
    for ours, theirs in zip(split_rows(table, 5), KFold(5).split(np.zeros((23, 1)))):
        np.testing.assert_array_equal(ours[1], theirs[1])


def test_own_rows_are_cut_within_tasks():
    data = TaskData.from_dict({f"t{k}": (np.ones((10, 1)) * k, np.arange(10.0)) for k in range(4)})
    table = LabelledTable.from_task_data(data)
    for fold in fold_moments(table, split_rows(table, 5)):
        assert fold.test.task_weight.tolist() == [2, 2, 2, 2]
        assert fold.train.task_weight.tolist() == [8, 8, 8, 8]


def test_tasks_of_two_rows_are_spread_over_all_folds():
    rng = np.random.default_rng(0)
    data = TaskData.from_dict({f"t{k}": (rng.normal(size=(2, 3)), rng.normal(size=2)) for k in range(10)})
    table = LabelledTable.from_task_data(data)
    assert [len(test) for _, test in split_rows(table, 5)] == [4, 4, 4, 4, 4]
    assert all(fold.train.task_weight.min() >= 1 for fold in fold_moments(table, split_rows(table, 5)))


def test_groups_stay_together_and_time_runs_forward():
    X, Y = wide_problem(n=40)
    groups = np.repeat(np.arange(8), 5)
    grouped = LabelledTable.from_task_data(TaskData.from_wide(X, Y, groups=groups))
    for train, test in split_rows(grouped, 4):
        assert not set(groups[train]) & set(groups[test])
    time = np.random.default_rng(0).permutation(40)
    timed = LabelledTable.from_task_data(TaskData.from_wide(X, Y, time=time))
    for train, test in split_rows(timed, 4):
        assert time[train].max() < time[test].min()


@pytest.mark.parametrize(
    ("cv", "error"), [(1, SettingError), (61, DataError), ("five", SettingError), ([], SettingError)]
)
def test_impossible_folds_are_refused(cv, error):
    with pytest.raises(error):
        split_rows(LabelledTable.from_arrays(*wide_problem(n=60)), cv)


@pytest.mark.parametrize("k", [2, 3, 6])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_training_moments_of_a_partition_are_those_of_the_other_folds(k, missing):
    X, Y = wide_problem(missing=missing)
    table = LabelledTable.from_arrays(X, Y)
    folds = split_rows(table, k)
    parts = fold_moments(table, folds)
    for (train, test), fold in zip(folds, parts):
        assert_same_moments(fold.train, Moments.from_arrays(X[train], Y[train]))
        assert_same_moments(fold.test, Moments.from_arrays(X[test], Y[test]))


def test_a_single_fold_that_tests_all_rows_trains_on_none():
    X, Y = wide_problem()
    table = LabelledTable.from_arrays(X, Y)
    (fold,) = fold_moments(table, [(np.arange(0), np.arange(60))])
    assert not fold.train.task_weight.any()
    assert_same_moments(fold.test, Moments.from_arrays(X, Y))


@pytest.mark.parametrize("cv", [4, TimeSeriesSplit(4), TimeSeriesSplit(3, test_size=5, gap=2)])
def test_times_out_of_order_are_put_in_order(cv):
    X, Y = wide_problem(n=40)
    time = np.random.default_rng(0).permutation(40)
    table = LabelledTable.from_task_data(TaskData.from_wide(X, Y, time=time))
    folds = split_rows(table, cv)
    literal = TimeSeriesSplit(4) if cv == 4 else cv
    for (train, test), (before, after) in zip(folds, literal.split(np.zeros((40, 1))), strict=True):
        assert sorted(time[train]) == before.tolist()
        assert sorted(time[test]) == after.tolist()


def test_tasks_of_a_long_table_are_cut_at_the_same_times():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "task": np.repeat(["a", "b", "c"], 20), "day": np.tile(np.arange(20), 3), "x": rng.normal(size=60),
        "y": rng.normal(size=60),
    }).sample(frac=1, random_state=0)  # fmt: skip
    data = TaskData.from_long(frame, "task", "y", time="day")
    for train, test in split_rows(LabelledTable.from_task_data(data), 4):
        assert frame["day"].to_numpy()[train].max() < frame["day"].to_numpy()[test].min()
        assert set(frame["task"].to_numpy()[test]) == {"a", "b", "c"}
    few = TaskData.from_long(frame.assign(day=frame["day"] % 3), "task", "y", time="day")
    with pytest.raises(DataError, match="more than 4 different times, but there are 3"):
        split_rows(LabelledTable.from_task_data(few), 4)


def test_groups_of_a_long_table_stay_together_with_any_splitter():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "task": np.tile(["a", "b"], 30), "person": rng.integers(0, 12, 60), "x": rng.normal(size=60),
        "y": rng.normal(size=60),
    })  # fmt: skip
    table = LabelledTable.from_task_data(TaskData.from_long(frame, "task", "y", groups="person"))
    for cv in (4, GroupKFold(4)):
        folds = split_rows(table, cv)
        assert len(folds) == 4
        for train, test in folds:
            assert not set(frame["person"].iloc[train]) & set(frame["person"].iloc[test])


@pytest.mark.parametrize(
    ("fold", "error", "message"),
    [
        (([0, 1], [60]), DataError, "test row 60, but there are 60 rows"),
        (([0, -1], [3]), DataError, "training row -1"),
        (([], [3]), DataError, "no training rows"),
        (([3], []), DataError, "no test rows"),
        (([0.5], [3]), SettingError, "whole numbers"),
        ((np.ones(60, dtype=bool), [3]), SettingError, "whole numbers"),
        (3, SettingError, "pairs"),
    ],
)
def test_folds_of_rows_that_are_not_there_are_refused(fold, error, message):
    table = LabelledTable.from_arrays(*wide_problem())
    with pytest.raises(error, match=message):
        split_rows(table, [fold])


def test_fewer_groups_than_folds_are_refused():
    X, Y = wide_problem()
    data = TaskData.from_wide(X, Y, groups=np.arange(60) % 3)
    with pytest.raises(DataError, match="at least 5 groups, but there are 3"):
        split_rows(LabelledTable.from_task_data(data), 5)
