"""Metrics per task, by name, on encoded targets; NaN-aware scorers for scikit-learn's model selection."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import metrics as sk

from polytask.data.frames import is_frame, is_series
from polytask.data.taskdata import TaskData
from polytask.errors import DataError
from polytask.tasks import Task

#: Metrics of which less is better.
LOWER_IS_BETTER = frozenset({"rmse", "mae", "mse", "log_loss", "brier"})


def score(
    task: Task, metric: str, y: np.ndarray, prediction: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """One metric of one task.

    Parameters
    ----------
    task : Task
    metric : str
        One of ``METRICS[task.kind]``.
    y, prediction : ndarray
        Encoded targets and predictions, as in `polytask.evaluation.losses.row_losses`.
    weights : ndarray of shape (n,), optional

    Returns
    -------
    float
        NaN where the metric is not defined (the area under the curve of a single label, say).
    """
    if task.kind == "multilabel":
        return _multilabel(metric, y, prediction, weights)
    if task.soft and metric not in ("brier", "log_loss"):
        y = (y > 0.5).astype(float) if y.ndim == 1 else y.argmax(axis=1)
    function = _METRICS[metric]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(function(y, prediction, weights))
    except ValueError:
        return float("nan")


def _multilabel(metric: str, y: np.ndarray, p: np.ndarray, weights: np.ndarray | None) -> float:
    """Mean over labels, each on the rows where it is known."""
    name = "f1" if metric == "f1_macro" else metric
    each = Task("label", "binary")
    values = []
    for j in range(y.shape[1]):
        known = ~np.isnan(y[:, j])
        values.append(
            score(each, name, y[known, j], p[known, j], None if weights is None else weights[known])
        )
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _labels(p: np.ndarray) -> np.ndarray:
    return p.argmax(axis=1) if p.ndim == 2 else (p > 0.5).astype(float)


def _brier(y: np.ndarray, p: np.ndarray, w: np.ndarray | None) -> float:
    target = y if y.ndim == p.ndim else np.eye(p.shape[1])[y.astype(int)]
    error = (target - p) ** 2
    return float(np.average(error if error.ndim == 1 else error.sum(axis=1), weights=w))


def _log_loss(y: np.ndarray, p: np.ndarray, w: np.ndarray | None) -> float:
    p = np.clip(p, 1e-12, 1 - 1e-12)
    if p.ndim == 1:
        each = -(y * np.log(p) + (1 - y) * np.log1p(-p))
    else:
        target = y if y.ndim == 2 else np.eye(p.shape[1])[y.astype(int)]
        each = -(target * np.log(p)).sum(axis=1)
    return float(np.average(each, weights=w))


_METRICS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]] = {
    "r2": lambda y, p, w: sk.r2_score(y, p, sample_weight=w),
    "rmse": lambda y, p, w: sk.root_mean_squared_error(y, p, sample_weight=w),
    "mae": lambda y, p, w: sk.mean_absolute_error(y, p, sample_weight=w),
    "mse": lambda y, p, w: sk.mean_squared_error(y, p, sample_weight=w),
    "d2_poisson": lambda y, p, w: sk.d2_tweedie_score(y, np.maximum(p, 1e-9), power=1, sample_weight=w),
    "roc_auc": lambda y, p, w: sk.roc_auc_score(y, p, sample_weight=w),
    "average_precision": lambda y, p, w: sk.average_precision_score(y, p, sample_weight=w),
    "accuracy": lambda y, p, w: sk.accuracy_score(y, _labels(p), sample_weight=w),
    "f1": lambda y, p, w: sk.f1_score(y, _labels(p), sample_weight=w),
    "f1_macro": lambda y, p, w: sk.f1_score(y, _labels(p), average="macro", sample_weight=w),
    "log_loss": _log_loss,
    "brier": _brier,
}


def nan_scorer(metric: Callable[..., float] = sk.r2_score) -> Callable[[Any, Any, Any], float]:
    """A scikit-learn scorer for targets with missing entries: the mean over tasks, each on its labelled rows.

    ``GridSearchCV(model, grid, scoring=nan_scorer())`` works where scikit-learn's own scorers refuse NaN.
    """

    def scorer(estimator: Any, X: Any, Y: Any) -> float:
        truth, predicted = _table(Y), _table(estimator.predict(X))
        if truth.shape != predicted.shape:
            raise DataError(f"Predictions have shape {predicted.shape}, targets {truth.shape}.")
        values = []
        for k in range(truth.shape[1]):
            known = ~np.isnan(truth[:, k])
            if known.any():
                values.append(metric(truth[known, k], predicted[known, k]))
        return float(np.mean(values))

    return scorer


def score_data(data: TaskData, predictions: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """All metrics of all tasks; `predictions` hold one entry per row of the table (`predict_tasks`)."""
    return {
        t.name: {
            m: score(t, m, data.targets[t.name], predictions[t.name][data.rows[t.name]], data.weights[t.name])
            for m in t.metrics
        }
        for t in data.tasks
    }


def _table(Y: Any) -> np.ndarray:
    values = Y.to_numpy() if is_frame(Y) or is_series(Y) else np.asarray(Y)
    return values.astype(np.float64).reshape(len(values), -1)
