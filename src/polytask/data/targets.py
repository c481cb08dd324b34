"""Targets: what kind of task a column is, and its encoding as numbers with the missing entries apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from polytask.data.frames import is_missing
from polytask.errors import DataError
from polytask.tasks import Task

#: Numbers beyond this are refused: sums of their squares would come near the largest float.
LARGEST = 1e100

#: A text column with more labels than this is not taken for a class label.
MAX_CLASSES = 50


def parse_numbers(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values as floats, and a mask of the entries that are not numbers (missing ones are not counted)."""
    values = np.asarray(values)
    if values.dtype.kind in "fiub":
        return values.astype(np.float64), np.zeros(values.shape, dtype=bool)
    missing = is_missing(values)
    out = np.full(values.shape, np.nan)
    bad = np.zeros(values.shape, dtype=bool)
    for i in np.flatnonzero(~missing):
        try:
            out[i] = float(values[i])
        except (TypeError, ValueError):
            bad[i] = True
    return out, bad


def infer_kind(values: np.ndarray, name: str) -> str:
    """The kind of a target column: text and booleans are labels, two values are binary, numbers regression.

    Counts are never guessed: say ``Task(name, "counts")`` to model a column as such.
    """
    values = np.asarray(values)
    if values.ndim == 2:
        return "multilabel"
    present = values[~is_missing(values)]
    if values.dtype.kind == "b":
        return "binary"
    if values.dtype.kind == "M":
        raise DataError(f"Target '{name}' holds dates; a target must be numbers or labels.")
    if values.dtype.kind in "fiu":
        return (
            "binary"
            if len(np.unique(present)) == 2 and set(np.unique(present)) <= {0.0, 1.0}
            else "regression"
        )
    if all(isinstance(v, (bool, np.bool_)) for v in present):
        return "binary"
    return _kind_of_objects(present, values, name)


def _kind_of_objects(present: np.ndarray, values: np.ndarray, name: str) -> str:
    numbers, bad = parse_numbers(values)
    n_bad = int(bad.sum())
    if not n_bad and not all(isinstance(v, str) for v in present):
        return infer_kind(numbers, name)
    if n_bad and n_bad < 0.5 * len(present):
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"Target '{name}' holds numbers but also text in {n_bad} of {len(present)} rows, first in row "
            f"{row}: {values[row]!r}. Correct these entries or leave them empty (missing)."
        )
    n_labels = len({str(v) for v in present})
    if n_labels > MAX_CLASSES:
        hint = "convert it to numbers" if not n_bad else "drop it or group its labels"
        raise DataError(
            f"Target '{name}' holds {n_labels} different texts, too many for class labels: {hint}."
        )
    return "binary" if n_labels <= 2 else "multiclass"


def encode(task: Task, values: np.ndarray) -> tuple[Task, np.ndarray, np.ndarray]:
    """Encode a target column.

    Parameters
    ----------
    task : Task
        Its kind may be None (inferred here) and its classes unknown (found here).
    values : ndarray of shape (n,), or (n, k) for multilabel and soft multiclass tasks

    Returns
    -------
    task : Task
        With kind and classes resolved.
    labelled : ndarray of int
        Indices of the entries that are not missing.
    encoded : ndarray
        Their values as `TaskData.targets` holds them.
    """
    values = np.asarray(values)
    if task.kind is None:
        task = task.with_(kind=infer_kind(values, task.name))
    two_dimensional = task.kind == "multilabel" or (task.soft and task.kind == "multiclass")
    if values.ndim != (2 if two_dimensional else 1):
        raise DataError(
            f"Task '{task.name}' ({task.kind}) needs a target of "
            f"{'two dimensions' if two_dimensional else 'one dimension'}, got shape {values.shape}."
        )
    if two_dimensional:
        return _encode_table(task, values)
    if task.is_classification and not task.soft:
        return _encode_labels(task, values)
    return _encode_numbers(task, values)


def decode(task: Task, codes: np.ndarray) -> np.ndarray:
    """Class codes (0, 1, …) back to the task's labels."""
    return np.asarray(task.classes)[np.asarray(codes, dtype=np.int64)]


def _encode_numbers(task: Task, values: np.ndarray) -> tuple[Task, np.ndarray, np.ndarray]:
    numbers, bad = parse_numbers(values)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"Target '{task.name}' ({task.kind}) holds text in {int(bad.sum())} rows, first in row {row}: "
            f"{values[row]!r}. Correct these entries or leave them empty (missing)."
        )
    labelled = np.flatnonzero(~np.isnan(numbers))
    y = numbers[labelled]
    check_finite(y, task.name)
    if task.kind == "counts" and ((y < 0).any() or (y != np.round(y)).any()):
        raise DataError(f"Task '{task.name}' (counts): values must be whole numbers of zero or more.")
    if task.soft and ((y < 0).any() or (y > 1).any()):
        raise DataError(f"Task '{task.name}' (soft): probabilities must lie in [0, 1].")
    if task.soft and task.classes is None:
        task = task.with_(classes=(0, 1))
    return task, labelled, y


def _encode_labels(task: Task, values: np.ndarray) -> tuple[Task, np.ndarray, np.ndarray]:
    labelled = np.flatnonzero(~is_missing(values))
    present = values[labelled]
    if present.dtype.kind == "f":
        check_finite(present, task.name)
    if task.classes is None:
        task = task.with_(classes=tuple(_plain_label(v) for v in _sorted_labels(present)))
    if task.kind == "binary" and task.classes is not None and len(task.classes) > 2:
        raise DataError(
            f"Task '{task.name}' is binary but has {len(task.classes)} labels: {_shown(task.classes)}. "
            "Use kind='multiclass'."
        )
    code = {label: i for i, label in enumerate(task.classes or ())}
    unknown = sorted({str(v) for v in present if v not in code})
    if unknown:
        raise DataError(
            f"Task '{task.name}': labels {_shown(unknown)} are not among its classes {_shown(task.classes)}."
        )
    codes = np.array([code[v] for v in present], dtype=np.int64)
    return task, labelled, codes.astype(np.float64) if task.kind == "binary" else codes


def _encode_table(task: Task, values: np.ndarray) -> tuple[Task, np.ndarray, np.ndarray]:
    table = np.column_stack([parse_numbers(values[:, j])[0] for j in range(values.shape[1])])
    if task.classes is None:
        task = task.with_(classes=tuple(range(table.shape[1])))
    if len(task.classes or ()) != table.shape[1]:
        raise DataError(
            f"Task '{task.name}' names {len(task.classes or ())} classes but has {table.shape[1]} columns."
        )
    labelled = np.flatnonzero(~np.isnan(table).all(axis=1))
    y = table[labelled]
    present = y[~np.isnan(y)]
    check_finite(present, task.name)
    allowed = ((present >= 0) & (present <= 1)) if task.soft else np.isin(present, (0.0, 1.0))
    if not allowed.all():
        raise DataError(
            f"Task '{task.name}' ({task.kind}): entries must be {'in [0, 1]' if task.soft else '0 or 1'}."
        )
    if task.kind == "multiclass" and not np.allclose(y.sum(axis=1), 1.0, atol=1e-6):
        raise DataError(
            f"Task '{task.name}' (soft multiclass): the probabilities of each row must sum to one."
        )
    return task, labelled, y


def beyond(values: np.ndarray) -> np.ndarray:
    """Mask of the numbers too large to compute with, infinite ones among them."""
    return (
        np.abs(values.astype(np.float64, copy=False)) > LARGEST
    )  # float32 holds no number as large as the bound


def check_finite(values: np.ndarray, name: str) -> None:
    """Refuse infinite values and those whose squares would overflow."""
    n_infinite = int(np.isinf(values).sum())
    if n_infinite:
        raise DataError(
            f"Target '{name}' has {n_infinite} infinite values; correct them or leave them empty."
        )
    n_huge = int(beyond(values).sum())
    if n_huge:
        raise DataError(
            f"Target '{name}' has {n_huge} values beyond ±{LARGEST:g}, too large to compute with; correct "
            "them or change its unit."
        )


def check_varies(task: Task, y: np.ndarray) -> str | None:
    """Why a target cannot be learned (all missing, constant, one label), or None."""
    if len(y) == 0:
        return f"Target '{task.name}' has no values: all rows are missing."
    if task.kind == "multilabel":
        return None
    flat = y.argmax(axis=1) if y.ndim == 2 else y
    if (flat == flat[0]).all():
        if task.is_classification and task.classes is not None and not task.soft:
            return (
                f"Target '{task.name}' has one label only ({task.classes[int(flat[0])]!r}) in {len(y)} rows."
            )
        return f"Target '{task.name}' is constant ({float(flat[0]):g}) in all of its {len(y)} rows."
    return None


def _sorted_labels(present: np.ndarray) -> list[Any]:
    labels = list(dict.fromkeys(present.tolist()))
    try:
        return sorted(labels)
    except TypeError:
        return sorted(labels, key=str)


def _plain_label(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.item() if hasattr(value, "item") else value


def _shown(labels: Iterable[Any] | None) -> str:
    labels = list(labels or ())
    return ", ".join(repr(v) for v in labels[:8]) + (", …" if len(labels) > 8 else "")
