from __future__ import annotations

import numpy as np
import pytest
from problems import assert_same_moments, wide_problem
from sklearn.model_selection import KFold, ShuffleSplit

from polytask.data import TaskData
from polytask.errors import DataError, SettingError
from polytask.linear import LabelledTable, Moments, fold_moments, split_rows


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
