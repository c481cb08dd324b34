"""Folds for outer and inner validation: shuffled, by group, or forward in time.

A fold is a pair of row indices (train, test) of a `TaskData`. All candidates see the same ones.
"""

from __future__ import annotations

import itertools

import numpy as np
from sklearn.model_selection import KFold

from polytask.data.taskdata import TaskData
from polytask.errors import DataError

Fold = tuple[np.ndarray, np.ndarray]


def make_folds(data: TaskData, n_folds: int, seed: int) -> list[Fold]:
    """Folds of the rows of `data`, respecting its time order or groups.

    - time given: forward chaining; each test block comes after all of its training rows;
    - groups given: rows of a group are never on both sides;
    - own rows: every task is spread over the folds (and every label of a classification task);
    - otherwise shuffled rows.

    Raises
    ------
    DataError
        When there are fewer rows, groups or times than folds.
    """
    if data.time is not None:
        return _forward(data.time, n_folds)
    if data.groups is not None:
        return _by_group(data.groups, n_folds, seed)
    if data.n_rows < max(2, n_folds):
        raise DataError(f"{data.n_rows} rows cannot be split into {n_folds} folds; use fewer folds.")
    strata = _strata(data)
    if strata is None:
        splitter = KFold(n_folds, shuffle=True, random_state=seed)
        return [(train, test) for train, test in splitter.split(np.zeros(data.n_rows))]
    return _stratified(strata, n_folds, seed)


def most_folds(data: TaskData) -> int:
    """The largest number of folds that `make_folds` can make of this data."""
    if data.time is not None:
        return len(np.unique(data.time)) // 2
    return data.n_rows if data.groups is None else len(np.unique(data.groups.astype(str)))


def holdout(data: TaskData, seed: int, n_folds: int = 4) -> Fold:
    """One split: the last block in time order, else one of `n_folds` folds."""
    return make_folds(data, min(n_folds, most_folds(data)), seed)[-1]


def _strata(data: TaskData) -> np.ndarray | None:
    """What to spread evenly: task (and label) of a row in own-row data, the rarest label in wide data."""
    if data.own_rows:
        strata = data.row_tasks() * 1000
        for name in data.task_names:
            y = data.targets[name]
            if data.task(name).is_classification and y.ndim == 1:
                strata[data.rows[name]] += np.round(y).astype(np.int64)
        return strata
    rarest, size = None, data.n_rows
    for task in data.tasks:
        y = data.targets[task.name]
        if task.is_classification and y.ndim == 1 and len(y):
            codes = np.round(y).astype(np.int64)
            smallest = np.bincount(codes)[np.unique(codes)].min()
            if smallest < size:
                rarest, size = task.name, smallest
    if rarest is None:
        return None
    strata = np.full(data.n_rows, -1)
    strata[data.rows[rarest]] = np.round(data.targets[rarest]).astype(np.int64)
    return strata


def _stratified(strata: np.ndarray, n_folds: int, seed: int) -> list[Fold]:
    """Rows shuffled within their stratum and dealt to the folds in turn, strata in random order.

    Every stratum is spread as evenly as its size allows, down to a single row, and so are all rows together;
    scikit-learn's StratifiedKFold refuses when all strata are smaller than the number of folds.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(strata))
    names, number = np.unique(strata, return_inverse=True)
    place = rng.permutation(len(names))[number]
    dealt = shuffled[np.argsort(place[shuffled], kind="stable")]
    fold = np.empty(len(strata), dtype=int)
    fold[dealt] = np.arange(len(strata)) % n_folds
    return _as_folds(fold, n_folds)


def _by_group(groups: np.ndarray, n_folds: int, seed: int) -> list[Fold]:
    """Groups in random order, each to the fold that has fewest rows so far."""
    names, inverse, sizes = np.unique(groups.astype(str), return_inverse=True, return_counts=True)
    if len(names) < max(2, n_folds):
        raise DataError(f"{len(names)} groups cannot be split into {n_folds} folds; use fewer folds.")
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    load, fold_of = np.zeros(n_folds), np.zeros(len(names), dtype=int)
    for g in order:
        fold_of[g] = int(np.argmin(load))
        load[fold_of[g]] += sizes[g]
    return _as_folds(fold_of[inverse], n_folds)


def _forward(time: np.ndarray, n_folds: int) -> list[Fold]:
    """Expanding windows; rows of one time stay together; the first half of the times is never tested."""
    stamps, inverse = np.unique(time, return_inverse=True)
    if len(stamps) < 2 * max(1, n_folds):
        raise DataError(
            f"{len(stamps)} different times are too few for {n_folds} forward folds; use fewer folds."
        )
    edges = np.linspace(len(stamps) // 2, len(stamps), n_folds + 1).astype(int)
    return [
        (np.flatnonzero(inverse < a), np.flatnonzero((inverse >= a) & (inverse < b)))
        for a, b in itertools.pairwise(edges)
    ]


def _as_folds(fold: np.ndarray, n_folds: int) -> list[Fold]:
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(n_folds)]
