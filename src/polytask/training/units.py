"""Units of targets: networks learn on one scale per task, predictions come back in the target's own units.

Regression targets get mean 0 and variance 1. For the other kinds the network learns the difference to the base
rate: the log-odds of a label, the log of a mean count. A network that outputs 0 predicts as well as the null model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from polytask.data import TaskData
from polytask.tasks import Task

#: Rows that the common spread counts for, where tasks of one long table borrow it from each other.
PRIOR_ROWS = 10.0


@dataclass(frozen=True)
class Units:
    """How one task's outputs o and predictions relate.

    Attributes
    ----------
    kind : str
    location : tuple of float
        Regression: the target's mean. Else: added to each output before the link.
    scale : float
        Regression: the target's standard deviation. Counts with squared error: the same; else 1.
    """

    kind: str
    location: tuple[float, ...]
    scale: float = 1.0

    @property
    def offset(self) -> np.ndarray:
        """What the loss adds to the outputs, shape (outputs,)."""
        if self.kind == "regression":
            return np.zeros(1)
        shift = np.log(self.scale) if self.kind == "counts" else 0.0
        return np.asarray(self.location) - shift

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Targets as the loss sees them."""
        if self.kind == "regression":
            return (y - self.location[0]) / self.scale
        return y / self.scale

    def predict(self, output: np.ndarray) -> np.ndarray:
        """Outputs (n, k) → means (n,), probabilities (n,) or (n, k)."""
        output = output.astype(np.float64)
        if self.kind == "regression":
            return output[:, 0] * self.scale + self.location[0]
        output = output + np.asarray(self.location)
        if self.kind == "counts":
            return np.exp(output[:, 0])
        if self.kind == "multiclass":
            return softmax(output, axis=1)
        probability = expit(output)
        return probability if self.kind == "multilabel" else probability[:, 0]

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "location": list(self.location), "scale": self.scale}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Units:
        return cls(state["kind"], tuple(state["location"]), state["scale"])


def find_units(data: TaskData) -> dict[str, Units]:
    """Units of all tasks from their training targets.

    Tasks of a long table measure the same quantity, so that small ones borrow from the others: means are
    shrunk to the common mean by the ratio of the variance within tasks to the variance between them
    (empirical Bayes), spreads to the common spread.
    """
    units = {}
    for task in data.tasks:
        units[task.name] = _units_of(task, data.targets[task.name], data.weights[task.name])
    regression = [t for t in data.tasks if t.kind == "regression" and t.scale]
    if data.form == "long" and len(regression) > 1:
        units.update(_pooled(regression, data))
    return units


def _units_of(task: Task, y: np.ndarray, weight: np.ndarray) -> Units:
    total = weight.sum()
    if len(y) == 0 or total <= 0:
        return Units(str(task.kind), (0.0,) * task.n_outputs)
    if task.kind == "regression":
        return _regression_units(task, y, weight)
    if task.kind == "counts":
        mean = (np.average(y, weights=weight) * total + 0.5) / (total + 1.0)
        return Units("counts", (float(np.log(mean)),), _spread(y, weight) if task.loss_name == "squared_error" else 1.0)
    if task.kind == "multiclass":
        table = y if y.ndim == 2 else np.eye(task.n_outputs)[y]
        share = (weight @ table + 1.0) / (total + task.n_outputs)
        return Units("multiclass", tuple(np.log(share).tolist()))
    table = y.reshape(len(y), -1)
    known = ~np.isnan(table) * weight[:, None]
    share = ((known * np.nan_to_num(table)).sum(0) + 1.0) / (known.sum(0) + 2.0)
    return Units(str(task.kind), tuple(np.log(share / (1 - share)).tolist()))


def _regression_units(task: Task, y: np.ndarray, weight: np.ndarray) -> Units:
    if not task.scale:
        return Units("regression", (0.0,))
    return Units("regression", (float(np.average(y, weights=weight)),), _spread(y, weight))


def _spread(y: np.ndarray, weight: np.ndarray) -> float:
    """Standard deviation, or 1 where the target does not vary."""
    mean = np.average(y, weights=weight)
    spread = float(np.sqrt(np.average((y - mean) ** 2, weights=weight)))
    return spread if spread > 1e-12 * max(1.0, abs(mean)) else 1.0


def _pooled(tasks: list[Task], data: TaskData) -> dict[str, Units]:
    own = {t.name: data.targets[t.name] for t in tasks if len(data.targets[t.name])}
    n = np.array([len(y) for y in own.values()], dtype=float)
    means = np.array([y.mean() for y in own.values()])
    inside = np.array([((y - y.mean()) ** 2).sum() for y in own.values()])
    within = inside.sum() / max(n.sum() - len(n), 1.0)
    if within <= 0:
        return {}
    between = max(float(np.var(means, ddof=1) - np.mean(within / n)), 1e-6 * within) if len(n) > 1 else within
    common = float(np.average(means, weights=1 / (between + within / n)))
    trust = between / (between + within / n)
    log_own = np.log(np.maximum(inside / n, 1e-12 * within))
    share = n / (n + PRIOR_ROWS)
    spread = np.exp(0.5 * (share * log_own + (1 - share) * np.log(within)))
    return {
        name: Units("regression", (float(trust[i] * means[i] + (1 - trust[i]) * common),), float(spread[i]))
        for i, name in enumerate(own)
    }
