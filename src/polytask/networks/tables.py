"""Between the caller's tables and task data: target columns, predictions in the caller's type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import narwhals as nw
import numpy as np
import scipy.sparse as sp

from polytask.data import frames
from polytask.data.long_tables import as_values
from polytask.data.targets import decode
from polytask.errors import DataError
from polytask.tasks import Task


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
