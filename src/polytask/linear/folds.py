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
        scikit-learn's `KFold`. A `TimeSeriesSplit` cuts the times of the table, if it has any, in their order.
    """
    if isinstance(cv, (int, np.integer)) and not isinstance(cv, bool):
        return _k_folds(table, int(cv))
    if isinstance(cv, TimeSeriesSplit) and table.time is not None:
        return _in_time(table.time, cv)
    if hasattr(cv, "split") and not isinstance(cv, str):
        return _checked(cv.split(np.zeros((table.n_rows, 1)), groups=table.groups), table.n_rows)
    if isinstance(cv, Iterable) and not isinstance(cv, str):
        folds = _checked(cv, table.n_rows)
        if folds:
            return folds
    raise SettingError(f"cv must be an int, a splitter or a list of (train, test) indices, got {cv!r}.")


def _checked(folds: Iterable[Any], n_rows: int) -> list[Split]:
    """Folds as pairs of index arrays, each of some rows that there are."""
    splits = []
    for f, fold in enumerate(folds):
        try:
            train, test = (np.asarray(rows) for rows in fold)
        except (TypeError, ValueError):
            raise SettingError(
                f"cv must hold pairs (train, test) of row indices; fold {f} is {fold!r}."
            ) from None
        for what, rows in (("training", train), ("test", test)):
            if rows.ndim != 1 or not len(rows):
                raise DataError(f"Fold {f} of cv has no {what} rows; leave it out.")
            if rows.dtype.kind not in "iu":
                raise SettingError(f"Fold {f} of cv: row indices must be whole numbers, got {rows.dtype}.")
            if rows.min() < 0 or rows.max() >= n_rows:
                bad = rows.min() if rows.min() < 0 else rows.max()
                raise DataError(f"Fold {f} of cv has the {what} row {bad}, but there are {n_rows} rows.")
        splits.append((train, test))
    return splits


def fold_moments(table: LabelledTable, folds: Sequence[Split]) -> list[FoldMoments]:
    """Moments of the training and test rows of every fold.

    When the test sets partition the rows and each training set is the rest, each row is read once: training
    moments are sums of the other folds' test moments, which, unlike differences, cannot cancel.

    Parameters
    ----------
    table : LabelledTable
    folds : sequence of (train, test) index arrays
    """
    test = _moments_of([table.restricted(rows) for _, rows in folds])
    if _is_partition(folds, table.n_rows):
        return [FoldMoments(train, part) for train, part in zip(_sums_of_others(test), test)]
    train = _moments_of([table.restricted(rows) for rows, _ in folds])
    return [FoldMoments(*pair) for pair in zip(train, test)]


def whole_and_folds(table: LabelledTable, folds: Sequence[Split]) -> tuple[Moments, list[FoldMoments]]:
    """Moments of all rows, and `fold_moments`; where the folds partition the rows, each is still read once."""
    parts = fold_moments(table, folds)
    if _is_partition(folds, table.n_rows):
        return parts[0].train + parts[0].test, parts
    return Moments.from_table(table), parts


def _k_folds(table: LabelledTable, k: int) -> list[Split]:
    n_rows = table.n_rows
    if k < 2:
        raise SettingError(f"cv={k}: cross-validation needs at least 2 folds.")
    if n_rows < k:
        raise DataError(f"cv={k} folds need at least {k} rows, but there are n_samples={n_rows}; lower cv.")
    blank = np.zeros((n_rows, 1))
    if table.time is not None:
        return _in_time(table.time, TimeSeriesSplit(k))
    if table.groups is not None:
        n_groups = len(np.unique(table.groups))
        if n_groups < k:
            raise DataError(f"cv={k} folds need at least {k} groups, but there are {n_groups}; lower cv.")
        return list(GroupKFold(k).split(blank, groups=table.groups))
    if not table.own_rows:
        return list(KFold(k).split(blank))
    fold = _folds_within_tasks(table, k)
    return [(np.flatnonzero(fold != index), np.flatnonzero(fold == index)) for index in range(k)]


def _in_time(time: np.ndarray, cv: TimeSeriesSplit) -> list[Split]:
    """Folds whose test times follow the training times; rows of one time stay together."""
    times, position = np.unique(time, return_inverse=True)
    if len(times) <= cv.n_splits:
        raise DataError(
            f"{cv.n_splits} folds in order of time need more than {cv.n_splits} different times, but there are "
            f"{len(times)}; lower cv."
        )
    return [
        (np.flatnonzero(np.isin(position, train)), np.flatnonzero(np.isin(position, test)))
        for train, test in cv.split(np.zeros((len(times), 1)))
    ]


def _folds_within_tasks(table: LabelledTable, k: int) -> np.ndarray:
    """Deal each task's rows out to the folds like cards, going on where the last task stopped."""
    order = np.concatenate([labels.rows for labels in table.patterns])
    rest = np.setdiff1d(np.arange(table.n_rows), order)
    fold = np.empty(table.n_rows, dtype=np.int64)
    dealt = np.concatenate([order, rest])
    fold[dealt] = np.arange(len(dealt)) % k
    return fold


def _is_partition(folds: Sequence[Split], n_rows: int) -> bool:
    """Whether every row is tested once and trained on in all other folds."""
    tested = np.bincount(np.concatenate([test for _, test in folds]), minlength=n_rows)
    if len(folds) < 2 or not np.all(tested == 1):
        return False
    return all(
        len(train) + len(test) == n_rows and not np.bincount(test, minlength=n_rows)[train].any()
        for train, test in folds
    )


def _moments_of(parts: Sequence[LabelledTable]) -> list[Moments]:
    """Moments of each part, with all Grams in one piece of memory, which the system hands out faster."""
    grams = np.zeros((len(parts), len(parts[0].patterns), parts[0].X.shape[1], parts[0].X.shape[1]))
    return [Moments.from_table(part, out=gram) for part, gram in zip(parts, grams)]


def _sums_of_others(parts: Sequence[Moments]) -> list[Moments]:
    """For each of two or more parts the sum of all others, by running sums from both ends."""
    grams = np.empty((len(parts), *parts[0].gram.shape))
    others, after = [parts[-1]] * len(parts), parts[-1]
    for index in range(len(parts) - 2, 0, -1):
        others[index], after = after, after.plus(parts[index], out=grams[index - 1])
    others[0], before = after, parts[0]
    for index in range(1, len(parts) - 1):
        others[index] = before.plus(others[index], out=grams[index])
        before = before.plus(parts[index], out=grams[-1])
    others[-1] = before
    return others
