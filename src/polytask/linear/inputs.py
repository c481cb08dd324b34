"""From what the caller passes to `fit` to a checked `LabelledTable`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_array, check_consistent_length, validate_data

from polytask.errors import DataError
from polytask.linear.table import LabelledTable, default_task_names

if TYPE_CHECKING:
    from polytask.data import TaskData

#: Kinds of task whose labels are one number that squared loss can be fitted to.
_KINDS = ("regression", "counts")


def table_from_arrays(
    estimator: BaseEstimator, X: Any, y: Any, sample_weight: Any
) -> tuple[LabelledTable, bool]:
    """The labelled table of arrays or frames, and whether y has a single dimension."""
    if y is None:
        raise DataError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None. "
            "Pass fit(X, y), or fit(data) with a TaskData."
        )
    X = validate_data(estimator, X, accept_sparse="csr", dtype=np.float64)
    Y = check_array(y, dtype=np.float64, ensure_2d=False, ensure_all_finite="allow-nan", input_name="y")
    single = Y.ndim == 1
    if Y.ndim > 2:
        raise DataError(f"y must have one or two dimensions (rows, tasks), got shape {Y.shape}.")
    check_consistent_length(X, Y)
    if single and np.isnan(Y).any():
        raise DataError(
            f"Input y contains NaN in {int(np.isnan(Y).sum())} of {len(Y)} rows; drop these rows, or pass y "
            "as a table of shape (n, 1), where NaN is a missing label."
        )
    weight = None
    if sample_weight is not None:
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    table = LabelledTable.from_arrays(X, Y, weight, task_names=_task_names(y, 1 if single else Y.shape[1]))
    _refuse_unlabelled(table, weight)
    return table, single


def table_from_task_data(
    estimator: BaseEstimator, data: TaskData, y: Any, sample_weight: Any
) -> tuple[LabelledTable, bool]:
    """The labelled table of a `TaskData`; never of a single dimension."""
    if y is not None or sample_weight is not None:
        raise DataError("A TaskData holds its own targets and weights: call fit(data) alone.")
    for task in data.tasks:
        if task.kind not in _KINDS:
            raise DataError(
                f"Task '{task.name}' is {task.kind}, but {type(estimator).__name__} fits squared loss to "
                f"{' and '.join(_KINDS)} tasks; leave it out with data.select(...) or use a network."
            )
    X = validate_data(estimator, data.X, accept_sparse="csr", dtype=np.float64)
    return LabelledTable.from_task_data(data.with_X(X)), False


def _task_names(y: Any, n_tasks: int) -> tuple[str, ...]:
    """Column names of a frame or the name of a series; y0, y1, … where there are none."""
    columns = getattr(y, "columns", None)
    if columns is not None:
        return tuple(str(name) for name in columns)
    name = getattr(y, "name", None)
    return (str(name),) if isinstance(name, str) and name and n_tasks == 1 else default_task_names(n_tasks)


def _refuse_unlabelled(table: LabelledTable, weight: np.ndarray | None) -> None:
    for labels in table.patterns:
        if len(labels.rows) == 0:
            names = ", ".join(f"'{table.task_names[task]}'" for task in labels.tasks)
            positive = "" if weight is None else " with a positive weight"
            raise DataError(
                f"No label{positive} among {table.n_rows} rows for the target {names}; drop this column."
            )
