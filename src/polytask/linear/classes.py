"""Labels of two classes as 0 and 1, per task."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from polytask.data import frames
from polytask.data.long_tables import as_values
from polytask.errors import DataError


def encode_classes(y: Any, names: tuple[str, ...] | None) -> tuple[np.ndarray, list[np.ndarray]]:
    """Targets as 0, 1 and NaN (missing), and the two classes of each task in sorted order.

    Parameters
    ----------
    y : (n,) or (n, q) array or DataFrame of labels
        NaN or None = missing, in two dimensions.
    names : tuple of str or None
        Of the tasks, for errors.

    Raises
    ------
    DataError
        For a task that has not two classes.
    """
    columns, flat = _columns(y)
    coded, classes = np.full((len(columns[0]), len(columns)), np.nan), []
    for t, column in enumerate(columns):
        known = ~frames.is_missing(column)
        found, codes = two_classes(column[known], names[t] if names else f"y{t}")
        coded[known, t] = codes
        classes.append(found)
    return (coded[:, 0] if flat else coded), classes


def encode_classes_by_task(
    y: np.ndarray, row_task: np.ndarray, names: tuple[str, ...]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels (n,) of rows that belong to a task each as 0, 1 and NaN, and the two classes of each task.

    A task without labels has the classes of the others, where these are the same.

    Parameters
    ----------
    y : (n,) array
    row_task : (n,) array of names
    names : tuple of q str
    """
    coded, known = np.full(len(y), np.nan), ~frames.is_missing(y)
    classes = []
    for name in names:
        rows = np.flatnonzero(known & (row_task == name))
        found, coded[rows] = two_classes(y[rows], name)
        classes.append(found)
    labelled = [found for found in classes if len(found)]
    for t, found in enumerate(classes):
        if len(found) == 0 and labelled:
            if isinstance(common_classes(labelled), list):
                raise DataError(
                    f"Task '{names[t]}' has no labels and the other tasks differ in their classes, so that its "
                    "classes are not known; leave it out."
                )
            classes[t] = labelled[0]
    return coded, classes


def _columns(y: Any) -> tuple[list[np.ndarray], bool]:
    """The target columns, and whether y has a single dimension."""
    if frames.is_frame(y):
        y = frames.check_table(y, "y")
        return [frames.column(y, name) for name in frames.column_names(y) or ()], False
    table = as_values(y)
    if table.ndim > 2:
        raise DataError(f"y must have one or two dimensions (rows, tasks), got shape {table.shape}.")
    if table.ndim == 1:
        if not frames.is_missing(table).any():
            check_classification_targets(table)
        return [table], True
    return list(table.T), False


def two_classes(labels: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The classes among the labels of a task, in sorted order, and the position of each label's class."""
    labels = frames.plain_column(labels)
    try:
        found, codes = np.unique(labels, return_inverse=True)
    except TypeError:
        kinds = sorted({type(label).__name__ for label in labels})
        raise DataError(
            f"Task '{name}' mixes labels of the types {', '.join(kinds)}; use one type."
        ) from None
    if len(found) > 2 or (len(found) < 2 and len(labels)):
        only = "Only binary classification is supported. " if len(found) > 2 else ""
        raise DataError(
            f"{only}Task '{name}' has {len(found)} class{'es' if len(found) != 1 else ''} "
            f"({', '.join(map(str, found[:4]))}{', …' if len(found) > 4 else ''}), but loss='logistic' needs two."
        )
    return found, codes


def common_classes(classes: list[np.ndarray]) -> np.ndarray | list[np.ndarray]:
    """The classes of all tasks as one array (2,) where they are the same, else one array for each task."""
    first = classes[0]
    alike = all(one.dtype.kind == first.dtype.kind and np.array_equal(one, first) for one in classes)
    return first if alike else list(classes)
