"""Between the caller's tables and task data: long form, target columns, predictions in the caller's type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import narwhals as nw
import numpy as np
import scipy.sparse as sp

from polytask.data import TaskData, frames
from polytask.data.targets import decode
from polytask.errors import DataError, SettingError
from polytask.tasks import Task

#: Names of columns that long tables get while they are read; not names that a user's table is likely to have.
_TARGET, _WEIGHT = "__target__", "__weight__"


def long_data(
    X: Any, y: Any, task_column: str | int, tasks: Sequence[Task] | None, sample_weight: Any
) -> TaskData:
    """Task data from a table whose `task_column` says which task a row belongs to, and one target."""
    X = frames.check_table(X)
    values = as_values(y)
    if values.ndim != 1 or len(values) != X.shape[0]:
        raise DataError(
            f"With task_column, y must be flat with a value per row of X ({X.shape[0]}), got {values.shape}."
        )
    if isinstance(task_column, int):
        return _long_array(X, values, task_column, tasks, sample_weight)
    if not frames.is_frame(X):
        raise SettingError(
            f"task_column={task_column!r} names a column, but X is no data frame; give its position."
        )
    frame = nw.from_native(X, eager_only=True)
    columns = {_TARGET: values.tolist()}
    if sample_weight is not None:
        columns[_WEIGHT] = as_values(sample_weight).tolist()
    extra = nw.from_dict(columns, backend=frame.implementation)
    if hasattr(X, "index"):
        extra = nw.from_native(extra.to_native().set_axis(X.index), eager_only=True)
    whole = nw.concat([frame, extra], how="horizontal").to_native()
    return TaskData.from_long(
        whole, task_column, _TARGET, tasks, sample_weight=None if sample_weight is None else _WEIGHT
    )


def _long_array(
    X: np.ndarray, y: np.ndarray, column: int, tasks: Sequence[Task] | None, sample_weight: Any
) -> TaskData:
    if sp.issparse(X):
        raise SettingError("A sparse X cannot hold the task column; use TaskData.from_dict.")
    if sample_weight is not None:
        raise SettingError("sample_weight with a task column needs X as a data frame.")
    names = np.array(
        [str(int(v)) if isinstance(v, float) and v.is_integer() else str(v) for v in X[:, column].tolist()]
    )
    features = np.delete(X, column, axis=1)
    tables = {name: (features[names == name], y[names == name]) for name in dict.fromkeys(names.tolist())}
    return TaskData.from_dict(tables, tasks)


def task_column_of(X: Any, column: str | int | None) -> np.ndarray:
    """The task of every row of a table given to predict."""
    if isinstance(column, int):
        return np.asarray(X)[:, column]
    if not frames.is_frame(X):
        raise DataError(
            f"Predicting each row for its own task needs a data frame with the column '{column}'."
        )
    return frames.column(X, str(column), "X")


def target_columns(y: Any, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Target columns by task; arrays are taken in the order of the tasks."""
    if isinstance(y, Mapping):
        table = {str(name): as_values(values) for name, values in y.items()}
    elif frames.is_frame(y):
        table = {name: frames.column(y, name) for name in frames.column_names(y) or ()}
    else:
        values = as_values(y)
        values = values.reshape(len(values), -1)
        if values.shape[1] != len(names):
            raise DataError(f"y has {values.shape[1]} columns, but the model has {len(names)} tasks.")
        return {name: values[:, k] for k, name in enumerate(names)}
    missing = [name for name in names if name not in table]
    if missing:
        raise DataError(f"y lacks the target '{missing[0]}'.{frames.suggest(missing[0], list(table))}")
    return {name: table[name] for name in names}


def as_values(y: Any) -> np.ndarray:
    """A column as an array."""
    return frames.series_values(y) if frames.is_series(y) else np.asarray(y)


def decided(task: Task, prediction: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of a prediction table: numbers, or the most probable label (one per label for multilabel)."""
    if task.kind == "multilabel":
        return {
            f"{task.name}_{c}": (prediction[:, j] > 0.5).astype(int) for j, c in enumerate(task.classes or ())
        }
    if not task.is_classification:
        return {task.name: prediction}
    codes = prediction.argmax(axis=1) if prediction.ndim == 2 else (prediction > 0.5).astype(int)
    return {task.name: decode(task, codes)}


def frame_type(table: Any) -> str | None:
    """The library of a frame ("pandas", "polars", …); None for anything else."""
    return nw.from_native(table, eager_only=True).implementation.value if frames.is_frame(table) else None


def as_table(columns: Mapping[str, np.ndarray], kind: str | None, X: Any) -> Any:
    """Columns as a frame of this kind, with the index of X where both have one; as an array for None."""
    if kind is None:
        one_type = len({values.dtype.kind for values in columns.values()}) == 1
        return np.column_stack([values if one_type else values.astype(object) for values in columns.values()])
    lists = {name: values.tolist() for name, values in columns.items()}
    frame = nw.from_dict(lists, backend=cast("Any", kind)).to_native()
    if hasattr(frame, "index") and hasattr(X, "index") and len(X) == len(frame):
        frame.index = X.index
    return frame


def with_text_names(table: Any) -> Any:
    """A pandas frame whose columns are all named by text, as everything below expects."""
    names = getattr(table, "columns", None)
    if names is None or not hasattr(table, "set_axis") or all(isinstance(name, str) for name in names):
        return table
    return table.set_axis([str(name) for name in names], axis=1)


def is_finite_matrix(X: Any) -> bool:
    """Whether networks can take a table as it is."""
    if frames.is_frame(X):
        return False
    values = X.data if sp.issparse(X) else X
    return values.dtype.kind in "iub" or (values.dtype.kind == "f" and bool(np.isfinite(values).all()))
