"""Long form: tables with a column that says which task a row belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import scipy.sparse as sp

from polytask.data import frames
from polytask.data.taskdata import TaskData, task_labels
from polytask.errors import DataError, SettingError
from polytask.tasks import Task

#: Names of columns that long tables get while they are read; not names that a user's table is likely to have.
_TARGET, _WEIGHT = "__target__", "__weight__"


def long_data(
    X: Any, y: Any, task_column: str | int, tasks: Sequence[Task] | None, sample_weight: Any
) -> TaskData:
    """Task data from a table whose `task_column` says which task a row belongs to, and one target."""
    X = frames.check_table(X)
    values = flat_target(y, X.shape[0])
    if not isinstance(task_column, int) and task_column in (frames.column_names(X) or ()):
        distinct_tasks(frames.column(X, task_column, "X"))
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
    distinct_tasks(X[:, column])
    names = task_labels(X[:, column].tolist())
    features = np.delete(X, column, axis=1)
    tables = {name: (features[names == name], y[names == name]) for name in dict.fromkeys(names.tolist())}
    return TaskData.from_dict(tables, tasks)


def flat_target(y: Any, n_rows: int) -> np.ndarray:
    """The one target of a long table (n,); raises if it has another shape."""
    values = as_values(y)
    if values.ndim != 1 or len(values) != n_rows:
        raise DataError(
            f"With task_column, y must be flat with a value per row of X ({n_rows}), got {values.shape}."
        )
    return values


def task_column_of(X: Any, column: str | int | None) -> np.ndarray:
    """The task of every row of a table given to predict."""
    if isinstance(column, int):
        return np.asarray(X)[:, column]
    if not frames.is_frame(X):
        raise DataError(
            f"Predicting each row for its own task needs a data frame with the column '{column}'."
        )
    return frames.column(X, str(column), "X")


def split_off_tasks(X: Any, column: str | int) -> tuple[Any, np.ndarray]:
    """The features of a long table without its task column, and the name of each row's task.

    Parameters
    ----------
    X : DataFrame, array or sparse matrix
    column : str or int
        Name in a frame, or position.

    Raises
    ------
    DataError, SettingError
        If there is no such column, or it is empty in some rows.
    """
    if frames.is_frame(X):
        X = frames.check_table(X)
        names = frames.column_names(X) or []
        name = names[_position(column, len(names))] if isinstance(column, int) else str(column)
        entries, features = frames.column(X, name, "X"), frames.drop_columns(X, [name])
    elif not isinstance(column, int):
        raise SettingError(
            f"task_column={column!r} names a column, but X is no data frame; give its position."
        )
    else:
        entries, features = _split_array(X if sp.issparse(X) else np.asarray(X), column)
    missing = int(frames.is_missing(entries).sum())
    if missing:
        raise DataError(
            f"The task column is empty in {missing} of {len(entries)} rows; every row needs its task."
        )
    distinct_tasks(entries)
    return features, task_labels(entries)


def distinct_tasks(entries: Any) -> None:
    """Refuse different entries of a task column that make one name as text, such as 1 and '1'."""
    values = np.asarray(entries)
    if values.dtype.kind == "O":
        distinct_names(
            dict.fromkeys(values.tolist()),
            "the task column",
            lambda names: task_labels(np.array(names, dtype=object)),
        )


def distinct_names(names: Iterable[Any], what: str, as_text: Callable[[list[Any]], Iterable[str]]) -> None:
    """Refuse different names that are the same text, naming both."""
    names, seen = list(names), dict[str, Any]()
    for name, text in zip(names, as_text(names)):
        if text in seen:
            raise DataError(
                f"{what[0].upper()}{what[1:]} names the task '{text}' twice, as {seen[text]!r} and as {name!r}; "
                "rename one of them."
            )
        seen[text] = name


def _split_array(X: Any, column: int) -> tuple[np.ndarray, Any]:
    """The entries of a column of an array or sparse matrix, and the other columns."""
    if np.ndim(X) != 2:
        raise DataError(f"X must have two dimensions (rows, columns), got shape {np.shape(X)}.")
    place = _position(column, X.shape[1])
    rest = np.delete(np.arange(X.shape[1]), place)
    if sp.issparse(X):
        table = sp.csc_array(X)
        return table[:, [place]].toarray().ravel(), sp.csr_matrix(table[:, rest])
    return X[:, place], _as_numbers(X[:, rest])


def _as_numbers(features: np.ndarray) -> np.ndarray:
    """Features that stood beside text in an array of objects, as numbers where they are numbers."""
    if features.dtype.kind not in "OU":
        return features
    try:
        return features.astype(float)
    except (TypeError, ValueError):
        return features


def _position(column: int, width: int) -> int:
    if not -width <= column < width:
        raise DataError(f"task_column={column}, but X has {width} columns.")
    return column % width


def as_values(y: Any) -> np.ndarray:
    """A column as an array."""
    return frames.series_values(y) if frames.is_series(y) else np.asarray(y)
