"""Weights of classes in the training loss, for imbalanced tasks."""

from __future__ import annotations

from typing import Any

import numpy as np

from polytask.errors import SettingError
from polytask.tasks import Task


def row_weights(task: Task, y: np.ndarray) -> np.ndarray:
    """Weight of every label: zero where it is missing, that of its class where the task weighs classes.

    A weight of 2 is the same as having the row twice. "balanced" is ``n / (k · n_c)``, scikit-learn's rule; a
    soft label has the mean weight of its classes.

    Parameters
    ----------
    task : Task
    y : ndarray of shape (n, k)
        Multiclass as indicators or probabilities; NaN = missing.

    Returns
    -------
    ndarray of shape (n, k), or (n, 1) for multiclass tasks
    """
    known = ~np.isnan(y)
    if task.kind == "multiclass":
        if task.class_weight is None:
            return np.ones((len(y), 1))
        return (y @ _multiclass(task, y))[:, None]
    if task.class_weight is None:
        return known.astype(float)
    columns = [_binary(task, j, y[known[:, j], j]) for j in range(y.shape[1])]
    negative, positive = np.array(columns).T
    return np.where(known, np.nan_to_num(y) * positive + (1 - np.nan_to_num(y)) * negative, 0.0)


def _multiclass(task: Task, y: np.ndarray) -> np.ndarray:
    classes = list(task.classes or ())
    if task.class_weight == "balanced":
        return len(y) / (len(classes) * np.maximum(y.sum(0), 1e-12)) * (y.sum(0) > 0)
    return np.array([_given(task, label, classes) for label in classes])


def _binary(task: Task, column: int, y: np.ndarray) -> tuple[float, float]:
    """Weights of 0 and 1 in a column of labels."""
    if task.class_weight == "balanced":
        share = np.clip(y.mean() if len(y) else 0.5, 1e-12, 1 - 1e-12)
        return 0.5 / (1 - share), 0.5 / share
    classes = list(task.classes or (0, 1))
    if task.kind == "multilabel":
        return 1.0, _given(task, classes[column], classes)
    return _given(task, classes[0], classes), _given(task, classes[1], classes)


def _given(task: Task, label: Any, classes: list[Any]) -> float:
    if not isinstance(task.class_weight, dict):
        raise SettingError(
            f"Task '{task.name}': class_weight must be 'balanced' or a dict, got {task.class_weight!r}."
        )
    unknown = [c for c in task.class_weight if c not in classes]
    if unknown:
        raise SettingError(
            f"Task '{task.name}': class_weight names {unknown[0]!r}, which is not among its classes."
        )
    weight = float(task.class_weight.get(label, 1.0))
    if not weight >= 0:
        raise SettingError(
            f"Task '{task.name}': the weight of class {label!r} must be zero or more, got {weight!r}."
        )
    return weight
