from __future__ import annotations

import numpy as np
import pytest

from polytask.data import TaskData
from polytask.training.splitting import split_validation

from . import problems


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_rows_are_in_one_part_each() -> None:
    data = problems.wide(100)
    train, validation = split_validation(data, 0.2, rng())
    assert validation is not None
    assert (train.n_rows, validation.n_rows) == (80, 20)
    both = np.vstack([train.X, validation.X])
    assert np.array_equal(np.sort(both[:, 0]), np.sort(data.X[:, 0]))


def test_groups_stay_whole() -> None:
    data = problems.wide(100)
    data.groups = np.repeat(np.arange(10), 10)
    train, validation = split_validation(data, 0.2, rng())
    assert validation is not None
    assert len(np.unique(validation.groups)) == 2
    assert not set(train.groups) & set(validation.groups)


def test_the_latest_rows_validate() -> None:
    data = problems.wide(100)
    data.time = rng().permutation(100)
    train, validation = split_validation(data, 0.2, rng())
    assert validation is not None
    assert train.time.max() < validation.time.min()


def test_tasks_with_rows_of_their_own_share_alike() -> None:
    data = problems.own_rows(sizes=(40, 2, 60, 3))
    train, validation = split_validation(data, 0.2, rng())
    assert validation is not None
    assert [len(validation.rows[t]) for t in ("t0", "t2")] == pytest.approx([8, 12], abs=1)
    assert all(len(train.rows[t]) >= 1 for t in data.task_names)


def test_too_few_rows_are_not_split() -> None:
    assert split_validation(problems.wide(19), 0.2, rng())[1] is None
    assert split_validation(problems.wide(100), 0.0, rng())[1] is None


def test_a_task_keeps_training_labels() -> None:
    """The only labels of a task may fall into the validation part: then there is none."""
    Y = np.random.default_rng(0).normal(size=(40, 2))
    Y[2:, 1] = np.nan
    data = TaskData.from_wide(np.random.default_rng(1).normal(size=(40, 2)), Y)
    for seed in range(30):
        train, _ = split_validation(data, 0.5, np.random.default_rng(seed))
        assert len(train.rows["y1"]) > 0
