"""Chunks of rows in any form as labelled tables: wide, a task per row, or a table per task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from polytask.data import TaskData
from polytask.data.frames import column_names, is_missing
from polytask.data.taskdata import task_labels
from polytask.errors import DataError
from polytask.linear.patterns import LabelPattern, patterns_from_arrays
from polytask.linear.table import LabelledTable, default_task_names


def chunk_table(
    X: Any, Y: Any, sample_weight: Any = None, task: Any = None, task_names: tuple[str, ...] | None = None
) -> tuple[LabelledTable, tuple[str, ...] | None]:
    """The labelled rows of a chunk, and the names of its features if it has any.

    Parameters
    ----------
    X, Y, sample_weight, task
        As in `MomentsAccumulator.partial_fit`.
    task_names : tuple of str or None
        Names for columns of Y that have none.
    """
    if isinstance(X, (TaskData, Mapping)):
        if Y is not None or sample_weight is not None or task is not None:
            raise DataError(
                "a TaskData or a mapping of tasks holds its own targets and weights: pass it alone."
            )
        return _table_of_tasks(X) if isinstance(X, Mapping) else _table_of_task_data(X)
    if Y is None:
        raise DataError("targets are missing: pass (X, Y), or a mapping of task to (X, y).")
    features, columns = _numbers(X, "X"), _columns(X, "X")
    targets = np.asarray(_numbers(Y, "Y"), dtype=float)
    weights = _weights(sample_weight, len(targets))
    _check_rows(features, targets, "Y")
    feature_names = None if columns is None else tuple(columns)
    if task is not None:
        return _table_of_long_form(features, targets, weights, task), feature_names
    targets = targets[:, None] if targets.ndim == 1 else targets
    names = _target_names(Y, targets.shape[1], task_names)
    return LabelledTable(features, tuple(patterns_from_arrays(targets, weights)), names), feature_names


def _columns(table: Any, what: str) -> list[str] | None:
    """Names of a frame's columns, each of them once."""
    names = [name for name in getattr(table, "columns", ()) if isinstance(name, str)]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise DataError(f"{what} has two columns named '{twice[0]}': rename one.")
    return column_names(table)


def _target_names(Y: Any, n_tasks: int, task_names: tuple[str, ...] | None) -> tuple[str, ...]:
    names = _columns(Y, "Y") or task_names or default_task_names(n_tasks)
    if len(names) != n_tasks:
        raise DataError(f"Y has {n_tasks} columns, but there are {len(names)} tasks: {', '.join(names)}.")
    return tuple(names)


def _table_of_task_data(data: TaskData) -> tuple[LabelledTable, tuple[str, ...] | None]:
    names = column_names(data.X)
    return LabelledTable.from_task_data(data), None if names is None else tuple(names)


def _table_of_tasks(tables: Mapping[Any, Any]) -> tuple[LabelledTable, tuple[str, ...] | None]:
    """One table under the other; a pattern per task."""
    start, columns = 0, None
    patterns: list[LabelPattern] = []
    features: list[Any] = []
    for position, (name, (X, y, *weight)) in enumerate(tables.items()):
        table, columns = chunk_table(X, y, *weight)
        if len(table.task_names) > 1:
            raise DataError(f"task '{name}': y must have one column, got {len(table.task_names)}.")
        if features and table.X.shape[1] != features[0].shape[1]:
            raise DataError(
                f"task '{name}' has {table.X.shape[1]} features, the tasks before it {features[0].shape[1]}."
            )
        (labels,) = table.patterns
        patterns.append(replace(labels, rows=labels.rows + start, tasks=np.array([position])))
        features.append(table.X)
        start += table.n_rows
    stack = (
        sparse.vstack(features, format="csr") if any(map(sparse.issparse, features)) else np.vstack(features)
    )
    return LabelledTable(stack, tuple(patterns), tuple(map(str, tables)), own_rows=True), columns


def _table_of_long_form(X: Any, y: np.ndarray, weights: np.ndarray, task: Any) -> LabelledTable:
    """A pattern per task, of its labelled rows."""
    if y.size != len(y):
        raise DataError(f"with a task per row, Y must have one column, got shape {y.shape}.")
    names, owner = _owners(np.asarray(task))
    if len(owner) != len(y):
        raise DataError(f"task has {len(owner)} entries for {len(y)} rows.")
    y = y.ravel()
    labelled = ~np.isnan(y) & (weights > 0)
    order = np.argsort(owner, kind="stable")
    patterns = []
    for position, rows in enumerate(
        np.split(order, np.cumsum(np.bincount(owner, minlength=len(names)))[:-1])
    ):
        rows = rows[labelled[rows]]
        patterns.append(LabelPattern(rows, weights[rows], np.array([position]), y[rows, None]))
    return LabelledTable(X, tuple(patterns), names, own_rows=True)


def _owners(task: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the tasks that occur, and the position of each row's among them."""
    missing = int(is_missing(task).sum())
    if missing:
        raise DataError(f"the task is missing in {missing} of {len(task)} rows; every row needs its task.")
    values, owner = np.unique(task_labels(task) if task.dtype == object else task, return_inverse=True)
    return tuple(task_labels(values)), owner


def _numbers(table: Any, what: str) -> Any:
    """An array of numbers of the precision it has, or a CSR matrix."""
    if sparse.issparse(table):
        return sparse.csr_matrix(table, dtype=float)
    array = np.asarray(table)
    if array.dtype.kind not in "fiub":
        try:
            array = np.asarray(table, dtype=float)
        except (TypeError, ValueError) as error:
            raise DataError(f"{what} must hold numbers: {error}. Encode text columns first.") from None
    if what == "X" and array.ndim != 2:
        raise DataError(f"X must have two dimensions (rows, features), got shape {array.shape}.")
    return array


def _weights(sample_weight: Any, n_rows: int) -> np.ndarray:
    if sample_weight is None:
        return np.ones(n_rows)
    weights = np.asarray(sample_weight, dtype=float)
    _check_rows(weights, np.empty(n_rows), "sample_weight")
    if weights.ndim != 1 or not np.all(np.isfinite(weights)) or np.any(weights < 0):
        raise DataError("sample_weight must hold one finite number of zero or more per row.")
    return weights


def _check_rows(one: Any, other: Any, what: str) -> None:
    if one.shape[0] != other.shape[0]:
        raise DataError(f"X has {one.shape[0]} rows, but {what} has {other.shape[0]}.")
