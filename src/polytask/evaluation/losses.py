"""Losses per row: what models are compared with. Lower is better; each is a proper score of its kind."""

from __future__ import annotations

import numpy as np

from polytask.tasks import HUBER_DELTA, Task


def row_losses(
    task: Task, y: np.ndarray, prediction: np.ndarray, n_train: int, scale: float = 1.0
) -> np.ndarray:
    """Loss of every row.

    Parameters
    ----------
    task : Task
    y : ndarray
        Encoded targets as in `TaskData.targets`: (n,) or (n, k).
    prediction : ndarray
        (n,) for regression, counts (mean) and binary (P(y=1)); (n, k) probabilities otherwise.
    n_train : int
        Rows the model was trained on. Probabilities are kept within [1/(n_train+2), 1 − 1/(n_train+2)]: by
        Laplace's rule nothing more extreme can be learned from so many rows, and one confident miss
        must not decide a comparison. All models get the same bounds.
    scale : float
        Standard deviation of the training targets, for the Huber loss.

    Returns
    -------
    ndarray of shape (n,)
    """
    if task.kind in ("regression", "counts"):
        return _number_losses(task, y, prediction, n_train, scale)
    p = np.clip(prediction, 1.0 / (n_train + 2), 1.0 - 1.0 / (n_train + 2))
    brier = task.loss_name == "brier"
    if task.kind == "multiclass":
        target = y if y.ndim == 2 else np.eye(p.shape[1])[y.astype(np.int64)]
        p = p / p.sum(axis=1, keepdims=True)
        return ((target - p) ** 2).sum(axis=1) if brier else -(target * np.log(p)).sum(axis=1)
    each = (y - p) ** 2 if brier else -(y * np.log(p) + (1 - y) * np.log1p(-p))
    return each if each.ndim == 1 else np.nanmean(each, axis=1)


def _number_losses(
    task: Task, y: np.ndarray, prediction: np.ndarray, n_train: int, scale: float
) -> np.ndarray:
    error = y - prediction
    if task.loss_name == "absolute_error":
        return np.abs(error)
    if task.loss_name == "huber":
        z = np.abs(error) / scale
        return scale**2 * np.where(z <= HUBER_DELTA, 0.5 * z**2, HUBER_DELTA * (z - 0.5 * HUBER_DELTA))
    if task.loss_name == "poisson":  # half the unit deviance; a mean of zero cannot be learned either
        mean = np.maximum(prediction, 1.0 / (n_train + 2))
        ylogy = np.where(y > 0, y * np.log(np.maximum(y, 1.0) / mean), 0.0)
        return ylogy - y + mean
    return error**2


def constant_prediction(task: Task, y: np.ndarray, weights: np.ndarray, n: int) -> np.ndarray:
    """What the best constant model says for `n` rows: mean, median, or class frequencies of the training labels.

    Without any training label it says zero, the mean of a scaled target, or that all classes are alike.
    """
    if len(y) == 0 or weights.sum() == 0:
        shape = (n, task.n_outputs) if task.kind in ("multiclass", "multilabel") else (n,)
        return np.full(
            shape, 1.0 / task.n_outputs if task.kind == "multiclass" else 0.5 * task.is_classification
        )
    if task.loss_name == "absolute_error":
        return np.full(n, np.median(y))
    if task.kind == "multiclass" and y.ndim == 1:
        y = np.eye(task.n_outputs)[y.astype(np.int64)]
    if y.ndim == 1:
        return np.full(n, np.average(y, weights=weights))
    known = ~np.isnan(y)
    mean = np.where(known, y, 0.0).T @ weights / np.maximum(known.T @ weights, 1e-300)
    return np.tile(mean, (n, 1))
