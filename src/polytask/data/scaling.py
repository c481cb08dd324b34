"""Regression targets on one scale, so that no task dominates a joint loss by its units.

Where tasks are different quantities (wide data, a table per task) each is scaled by its own mean and
standard deviation; where they are the same quantity in different groups (long data) by the common ones,
so that differences of level and spread between groups stay visible.
"""

from __future__ import annotations

import numpy as np

from polytask.data.taskdata import TaskData


class TargetScaler:
    """Centre and scale the regression targets of a `TaskData`; other kinds pass unchanged.

    Attributes
    ----------
    mean_, scale_ : dict of str to float
        Of the regression tasks with ``Task.scale``.
    """

    def __init__(self) -> None:
        self.mean_: dict[str, float] = {}
        self.scale_: dict[str, float] = {}

    def fit(self, data: TaskData) -> TargetScaler:
        tasks = [t.name for t in data.tasks if t.kind == "regression" and t.scale]
        if data.form == "long" and tasks:
            pooled = _moments(
                np.concatenate([data.targets[t] for t in tasks]),
                np.concatenate([data.weights[t] for t in tasks]),
            )
            found = dict.fromkeys(tasks, pooled)
        else:
            found = {t: _moments(data.targets[t], data.weights[t]) for t in tasks}
        self.mean_ = {t: mean for t, (mean, _) in found.items()}
        self.scale_ = {t: scale for t, (_, scale) in found.items()}
        return self

    def transform(self, data: TaskData) -> TaskData:
        """The data with scaled targets; its tasks say that no more scaling is wanted."""
        targets = dict(data.targets)
        for name, mean in self.mean_.items():
            if name in targets:
                targets[name] = (targets[name] - mean) / self.scale_[name]
        tasks = [t.with_(scale=False) if t.name in self.mean_ else t for t in data.tasks]
        return data.with_targets(tasks, targets)

    def inverse(self, predictions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Predictions back in the targets' own units."""
        return {
            name: p * self.scale_[name] + self.mean_[name] if name in self.mean_ else p
            for name, p in predictions.items()
        }


def _moments(y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    if len(y) == 0 or weights.sum() == 0:
        return 0.0, 1.0
    mean = float(np.average(y, weights=weights))
    variance = float(np.average((y - mean) ** 2, weights=weights))
    return mean, variance**0.5 if variance > 0 else 1.0
