import warnings

import numpy as np
import pandas as pd
import pytest

from polytask import TaskData
from polytask.errors import DataError, PolytaskWarning
from polytask.evaluation.folds import holdout, make_folds, most_folds

rng = np.random.default_rng(0)


def data(n=60, **extra):
    return TaskData.from_wide(rng.normal(size=(n, 2)), rng.normal(size=(n, 2)), **extra)


def assert_partition(folds, n):
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(n))
    for train, test in folds:
        assert not set(train) & set(test)


def test_shuffled_folds_are_a_partition_and_follow_the_seed():
    folds = make_folds(data(), 5, seed=3)
    assert_partition(folds, 60)
    again, other = make_folds(data(), 5, seed=3), make_folds(data(), 5, seed=4)
    assert all((a[1] == b[1]).all() for a, b in zip(folds, again))
    assert not all((a[1] == b[1]).all() for a, b in zip(folds, other))


def test_groups_stay_together():
    groups = rng.integers(0, 12, 60)
    folds = make_folds(data(groups=groups), 4, seed=0)
    assert_partition(folds, 60)
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])


def test_time_runs_forward_and_ties_stay_together():
    time = rng.permutation(np.repeat(np.arange(30), 2))
    folds = make_folds(data(time=time), 4, seed=0)
    for train, test in folds:
        assert time[train].max() < time[test].min()


def test_every_task_and_label_is_spread_over_the_folds():
    frame = pd.DataFrame(
        {"x": rng.normal(size=100), "s": np.repeat(["a", "b"], [20, 80]), "y": rng.normal(size=100)}
    )
    long = TaskData.from_long(frame, task="s", target="y")
    for _, test in make_folds(long, 5, seed=0):
        assert np.isin(long.rows["a"], test).sum() == 4
    rare = np.zeros(100)
    rare[:10] = 1
    wide = TaskData.from_wide(rng.normal(size=(100, 2)), np.column_stack([rng.normal(size=100), rare]))
    for _, test in make_folds(wide, 5, seed=0):
        assert rare[test].sum() == 2


def test_too_few_rows_groups_or_times():
    with pytest.raises(DataError, match="3 rows cannot be split"):
        make_folds(data(3), 5, 0)
    with pytest.raises(DataError, match="2 groups"):
        make_folds(data(groups=np.arange(60) % 2), 5, 0)
    with pytest.raises(DataError, match="6 different times"):
        make_folds(data(time=np.arange(60) % 6), 5, 0)


@pytest.mark.parametrize(
    ("sizes", "n_folds"), [((3, 3, 3, 3), 5), ((1,) * 12, 4), ((3, 3, 3, 3), 12), ((2, 9, 1), 5)]
)
def test_strata_smaller_than_the_number_of_folds_are_spread_as_far_as_they_go(sizes, n_folds):
    name = np.repeat([f"s{k}" for k in range(len(sizes))], sizes)
    n = len(name)
    frame = pd.DataFrame(
        {"x": rng.normal(size=n), "z": rng.normal(size=n), "s": name, "y": rng.normal(size=n)}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PolytaskWarning)
        long = TaskData.from_long(frame, task="s", target="y")
    folds = make_folds(long, n_folds, seed=0)
    assert_partition(folds, n)
    tested = [len(test) for _, test in folds]
    assert max(tested) - min(tested) <= 1
    assert min(tested) >= 1
    for rows in long.rows.values():
        each = [np.isin(rows, test).sum() for _, test in folds]
        assert max(each) - min(each) <= 1
    assert not all((a[1] == b[1]).all() for a, b in zip(folds, make_folds(long, n_folds, seed=1)))


@pytest.mark.parametrize(
    ("extra", "most"), [({}, 60), ({"groups": np.arange(60) % 7}, 7), ({"time": np.arange(60) // 2}, 15)]
)
def test_the_most_folds_that_can_be_made(extra, most):
    assert most_folds(data(**extra)) == most
    assert len(make_folds(data(**extra), most, 0)) == most
    with pytest.raises(DataError):
        make_folds(data(**extra), most + 1, 0)


def test_a_holdout_is_made_of_as_few_groups_or_times_as_there_are():
    train, test = holdout(data(groups=np.arange(60) % 2), 0)
    assert (len(train), len(test)) == (30, 30)
    train, test = holdout(data(time=np.arange(60) % 3), 0)
    assert len(train) > 0
    assert len(test) > 0
    with pytest.raises(DataError, match="1 groups cannot be split"):
        holdout(data(groups=np.zeros(60)), 0)
