"""Cross-validation folds and their moments, without a second pass over the data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, TimeSeriesSplit

from polytask.errors import DataError, SettingError
from polytask.linear.moments import Moments
from polytask.linear.table import LabelledTable

Split = tuple[np.ndarray, np.ndarray]


class FoldMoments(NamedTuple):
    """Moments of the training rows and of the test rows of one fold."""

    train: Moments
    test: Moments


def split_rows(table: LabelledTable, cv: Any) -> list[Split]:
    """Train and test row indices of each fold.

    Parameters
    ----------
    table : LabelledTable
    cv : int, scikit-learn splitter, or iterable of (train, test) index arrays
        An int k cuts k folds: in order of time if the table has times, by groups if it has groups, within
        every task if tasks bring their own rows, and otherwise into consecutive blocks of rows, as
        scikit-learn's `KFold`.
    """
    if isinstance(cv, (int, np.integer)):
        return _k_folds(table, int(cv))
    if hasattr(cv, "split") and not isinstance(cv, str):
        return list(cv.split(np.zeros((table.n_rows, 1)), groups=table.groups))
    if isinstance(cv, Iterable) and not isinstance(cv, str):
        folds = [(np.asarray(train), np.asarray(test)) for train, test in cv]
        if folds:
            return folds
    raise SettingError(f"cv must be an int, a splitter or a list of (train, test) indices, got {cv!r}.")


def fold_moments(table: LabelledTable, folds: Sequence[Split]) -> list[FoldMoments]:
    """Moments of the training and test rows of every fold.

    When the test sets partition the rows and each training set is the rest, each row is read once: training
    moments are sums of the other folds' test moments, which, unlike differences, cannot cancel.

    Parameters
    ----------
    table : LabelledTable
    folds : sequence of (train, test) index arrays
    """
    test = [Moments.from_table(table.restricted(rows)) for _, rows in folds]
    if _is_partition(folds, table.n_rows):
        return [FoldMoments(train, part) for train, part in zip(_sums_of_others(test), test)]
    train = [Moments.from_table(table.restricted(rows)) for rows, _ in folds]
    return [FoldMoments(*pair) for pair in zip(train, test)]


def _k_folds(table: LabelledTable, k: int) -> list[Split]:
    n_rows = table.n_rows
    if k < 2:
        raise SettingError(f"cv={k}: cross-validation needs at least 2 folds.")
    if n_rows < k:
        raise DataError(f"cv={k} folds need at least {k} rows, but there are n_samples={n_rows}; lower cv.")
    blank = np.zeros((n_rows, 1))
    if table.time is not None:
        order = np.argsort(table.time, kind="stable")
        return [(order[train], order[test]) for train, test in TimeSeriesSplit(k).split(blank)]
    if table.groups is not None:
        return list(GroupKFold(k).split(blank, groups=table.groups))
    if not table.own_rows:
        return list(KFold(k).split(blank))
    fold = _folds_within_tasks(table, k)
    return [(np.flatnonzero(fold != index), np.flatnonzero(fold == index)) for index in range(k)]


def _folds_within_tasks(table: LabelledTable, k: int) -> np.ndarray:
    """Deal each task's rows out to the folds like cards, going on where the last task stopped."""
    order = np.concatenate([labels.rows for labels in table.patterns])
    rest = np.setdiff1d(np.arange(table.n_rows), order)
    fold = np.empty(table.n_rows, dtype=np.int64)
    dealt = np.concatenate([order, rest])
    fold[dealt] = np.arange(len(dealt)) % k
    return fold


def _is_partition(folds: Sequence[Split], n_rows: int) -> bool:
    times_tested = np.bincount(np.concatenate([test for _, test in folds]), minlength=n_rows)
    if not np.all(times_tested == 1):
        return False
    return all(
        len(train) + len(test) == n_rows and not np.intersect1d(train, test).size for train, test in folds
    )


def _sums_of_others(parts: Sequence[Moments]) -> list[Moments]:
    """For each part the sum of all others, by running sums from both ends."""
    after: list[Moments | None] = [None] * len(parts)
    for index in range(len(parts) - 2, -1, -1):
        after[index] = _add(after[index + 1], parts[index + 1])
    others, before = [], None
    for index, part in enumerate(parts):
        both = _add(before, after[index])
        others.append(both if both is not None else part - part)
        before = _add(before, part)
    return others


def _add(left: Moments | None, right: Moments | None) -> Moments | None:
    if left is None or right is None:
        return right if left is None else left
    return left + right
