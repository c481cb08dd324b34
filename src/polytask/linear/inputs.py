"""From what the caller passes to `fit` to checked data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_array, check_consistent_length, validate_data

from polytask.data import TaskData, frames
from polytask.data.long_tables import as_values, distinct_names, flat_target, split_off_tasks
from polytask.errors import DataError, SettingError
from polytask.linear.classes import encode_classes, encode_classes_by_task, two_classes
from polytask.linear.moments import Moments
from polytask.linear.table import LabelledTable, default_task_names
from polytask.tasks import Task

#: Kinds of task whose labels each loss can be fitted to.
_KINDS = {"squared": ("regression", "counts"), "logistic": ("binary",), "poisson": ("counts", "regression")}
#: Kind of the tasks that are built from tables without declared tasks.
_BUILT = {"squared": "regression", "logistic": "binary", "poisson": "regression"}
#: What a warm start takes from the last fit.
_START = ("coef_", "intercept_", "task_names_", "n_features_in_")


@dataclass(frozen=True)
class FitData:
    """Checked data.

    Attributes
    ----------
    data : Moments or LabelledTable
    single : bool
        Whether y has a single dimension, of one task.
    dtype : dtype
        Of the features, and so of coefficients and predictions.
    classes : list of (2,) arrays, or None
        The two classes of each task, where tasks have classes.
    task_column : str, int or None
        Where tables given to predict say which task a row belongs to.
    """

    data: Moments | LabelledTable
    single: bool
    dtype: np.dtype
    classes: list[np.ndarray] | None = None
    task_column: str | int | None = None


def fit_data(estimator: BaseEstimator, X: Any, y: Any, sample_weight: Any) -> FitData:
    """Check what was passed to `fit`, in any of its forms; the estimator forgets its last fit."""
    _forget(estimator)
    if isinstance(X, (TaskData, Moments)) or _is_mapping(X):
        if y is not None or sample_weight is not None:
            form = "dict" if _is_mapping(X) else type(X).__name__
            raise DataError(f"A {form} holds its own targets and weights: call fit(data) alone.")
        if isinstance(X, Moments):
            estimator.n_features_in_ = X.n_features
            if X.feature_names is not None:
                estimator.feature_names_in_ = np.array(X.feature_names, dtype=object)
            return FitData(X, False, np.dtype(float), task_column=estimator.task_column)
        if _is_mapping(X):
            X = _task_data_of(estimator, X)
        return _from_task_data(estimator, X)
    if y is None:
        raise DataError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None. "
            "Pass fit(X, y), or fit(data) with a TaskData."
        )
    if estimator.task_column is not None:
        return _from_long_table(estimator, X, y, sample_weight)
    return _from_arrays(estimator, X, y, sample_weight)


def _forget(estimator: Any) -> None:
    """Delete fitted attributes: those of another loss or other data would outlive a new fit."""
    kept = _START if estimator.warm_start else ()
    for name in list(vars(estimator)):
        if name.endswith("_") and not name.startswith("_") and name not in kept:
            delattr(estimator, name)


def _task_data_of(estimator: Any, tables: Mapping[Any, tuple[Any, Any]]) -> TaskData:
    """A dict of name to (X_t, y_t) as tasks of the kind that the loss needs."""
    distinct_names(tables, "the dict", lambda names: map(str, names))
    tasks = []
    for name, pair in tables.items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise DataError(f"Task '{name}' needs a pair (X, y).")
        y = as_values(pair[1])
        _refuse_dates(y, str(name))
        if estimator.loss == "logistic" and y.ndim == 1:
            two_classes(y[~frames.is_missing(y)], str(name))
        tasks.append(Task(str(name), _BUILT[estimator.loss]))
    return TaskData.from_dict(tables, tasks, task_column=str(estimator.task_column or "task"))


def _is_mapping(X: Any) -> bool:
    """Whether X is a dict of tables; scipy's dictionary-of-keys matrices are dicts, too."""
    return isinstance(X, Mapping) and not sparse.issparse(X)


def _from_arrays(estimator: Any, X: Any, y: Any, sample_weight: Any) -> FitData:
    _refuse_duplicated_columns(X)
    X = validate_data(estimator, X, accept_sparse="csr", dtype=[np.float64, np.float32])
    names = _task_names(y)
    _refuse_dates_in_columns(y, names)
    classes = None
    if estimator.loss == "logistic":
        y, classes = encode_classes(y, names)
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
    weight = _checked_weight(sample_weight, X)
    names = names or default_task_names(Y.reshape(len(Y), -1).shape[1])
    table = LabelledTable.from_arrays(X, Y, weight, task_names=names)
    _refuse_unlabelled(table, weight)
    _refuse_negative_counts(estimator, table, some_vary=False)
    return FitData(table, single, X.dtype, classes)


def _from_long_table(estimator: Any, X: Any, y: Any, sample_weight: Any) -> FitData:
    """A table whose column says which task a row belongs to, and one target; NaN = missing label."""
    _refuse_duplicated_columns(X)
    X, row_task = split_off_tasks(X, estimator.task_column)
    X = validate_data(estimator, X, accept_sparse="csr", dtype=[np.float64, np.float32])
    y, classes = flat_target(y, X.shape[0]), None
    names = tuple(dict.fromkeys(row_task.tolist()))
    _refuse_dates(y, str(getattr(y, "name", None) or "y"))
    if estimator.loss == "logistic":
        y, classes = encode_classes_by_task(y, row_task, names)
    y = check_array(y, dtype=np.float64, ensure_2d=False, ensure_all_finite="allow-nan", input_name="y")
    weight = _checked_weight(sample_weight, X)
    table = LabelledTable.from_long(X, y, row_task, weight, task_names=names)
    if not any(len(labels.rows) for labels in table.patterns):
        raise DataError(f"No label with a positive weight among {len(y)} rows.")
    _refuse_negative_counts(estimator, table, some_vary=True)
    return FitData(table, False, X.dtype, classes, estimator.task_column)


def _checked_weight(sample_weight: Any, X: Any) -> np.ndarray | None:
    if sample_weight is None:
        return None
    return _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)


def _from_task_data(estimator: Any, data: TaskData) -> FitData:
    column = estimator.task_column
    if column is not None and column != data.task_column:
        held = f"holds it in '{data.task_column}'" if data.task_column else "has none"
        raise SettingError(f"task_column={column!r}, but the TaskData {held}; leave the setting out.")
    for task in data.tasks:
        if task.kind not in _KINDS[estimator.loss]:
            raise DataError(
                f"Task '{task.name}' is {task.kind}, but {type(estimator).__name__} with loss={estimator.loss!r} "
                f"fits {' and '.join(_KINDS[estimator.loss])} tasks; leave it out with data.select(...), choose "
                "another loss or use a network."
            )
    X = validate_data(estimator, data.X, accept_sparse="csr", dtype=[np.float64, np.float32])
    classes = None
    if estimator.loss == "logistic":
        classes = [np.asarray(task.classes if task.classes else (0, 1)) for task in data.tasks]
    table = LabelledTable.from_task_data(data.with_X(X))
    _refuse_negative_counts(estimator, table, some_vary=table.own_rows)
    return FitData(table, False, X.dtype, classes, data.task_column)


def has_task_column(X: Any, column: str | int, n_features: int) -> bool:
    """Whether a table given to predict has the task column beside its features."""
    if isinstance(column, int):
        return np.ndim(X) == 2 and np.shape(X)[1] == n_features + 1
    return column in (frames.column_names(X) or ())


def positions_of(names: np.ndarray, fitted: Sequence[str]) -> np.ndarray:
    """The positions (n,) of the rows' tasks among those that were fitted."""
    position = {name: t for t, name in enumerate(fitted)}
    unknown = [name for name in dict.fromkeys(names.tolist()) if name not in position]
    if unknown:
        shown = ", ".join(f"'{name}'" for name in unknown[:5]) + (", …" if len(unknown) > 5 else "")
        n_rows = int(np.isin(names.astype(str), unknown).sum())
        raise DataError(
            f"{n_rows} of {len(names)} rows belong to tasks that were not fitted: {shown}. "
            f"The tasks are {', '.join(fitted[:10])}{', …' if len(fitted) > 10 else ''}."
        )
    return np.array([position[name] for name in names.tolist()], dtype=np.int64)


def _task_names(y: Any) -> tuple[str, ...] | None:
    """Column names of a frame or the name of a series; None where there are none."""
    columns = _columns_as_given(y)
    if columns is not None:
        distinct_names(columns, "y", lambda names: map(str, names))
        return tuple(str(name) for name in columns)
    name = getattr(y, "name", None)
    return (str(name),) if isinstance(name, str) and name else None


def _refuse_duplicated_columns(X: Any) -> None:
    """Features by one name would be told apart by nobody, and a frame that is sliced by name takes both."""
    seen = set()
    for name in _columns_as_given(X) or ():
        if name in seen:
            raise DataError(f"X has more than one column named '{name}'; rename or drop one of them.")
        seen.add(name)


def _columns_as_given(table: Any) -> Sequence[Any] | None:
    """Column names of a frame; pandas' may be of any type, and there twice, which no other library knows."""
    if hasattr(table, "iloc") and hasattr(table, "columns"):
        return list(table.columns)
    return frames.column_names(table)


def _refuse_dates_in_columns(y: Any, names: tuple[str, ...] | None) -> None:
    if frames.is_frame(y):
        for name in names or ():
            _refuse_dates(frames.column(y, name), name)
        return
    values = as_values(y)
    for t, column in enumerate(values.T if values.ndim == 2 else [values]):
        _refuse_dates(column, names[t] if names else f"y{t}")


def _refuse_dates(values: np.ndarray, name: str) -> None:
    """Refuse dates and durations, which numpy takes for whole numbers of nanoseconds."""
    dates = values.dtype.kind in "mM"
    if values.dtype.kind == "O":
        dates = any(isinstance(v, (date, timedelta, np.datetime64, np.timedelta64)) for v in values.ravel())
    if dates:
        raise DataError(
            f"Task '{name}' holds dates or durations; a target must be numbers: take a number of days or seconds."
        )


def _refuse_unlabelled(table: LabelledTable, weight: np.ndarray | None) -> None:
    for labels in table.patterns:
        if len(labels.rows) == 0:
            names = ", ".join(f"'{table.task_names[task]}'" for task in labels.tasks)
            positive = "" if weight is None else " with a positive weight"
            raise DataError(
                f"No label{positive} among {table.n_rows} rows for the target {names}; drop this column."
            )


def _refuse_negative_counts(estimator: Any, table: LabelledTable, *, some_vary: bool) -> None:
    """Poisson labels are zero or more, and not zero throughout: in each task, or with `some_vary` in all."""
    if estimator.loss != "poisson":
        return
    vary = False
    for labels in table.patterns:
        for task, column in zip(labels.tasks, labels.targets.T):
            name = table.task_names[task]
            if len(column) and column.min() < 0:
                raise DataError(
                    f"Task '{name}' has the label {column.min():g}, but loss='poisson' needs counts of zero or more."
                )
            if len(column) and not column.any() and not some_vary:
                raise DataError(f"Task '{name}' has only zeros as counts; drop this target.")
            vary = vary or bool(column.any())
    if not vary:
        raise DataError("All counts are zero: there is nothing to learn.")
