"""Units of targets: networks learn on one scale per task, predictions come back in the target's own units.

Regression targets get mean 0 and variance 1. For the other kinds the network learns the difference to the
base rate: the log-odds of a label, the log of a mean count. Outputs of 0 are the null model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from polytask.data import TaskData
from polytask.data.scaling import TargetScaler
from polytask.tasks import Task


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
    """Units of all tasks from their training targets; see `polytask.data.scaling` for those of regression."""
    scaler = TargetScaler().fit(data)
    units = {}
    for task in data.tasks:
        if task.kind == "regression":
            mean, scale = scaler.mean_.get(task.name, 0.0), scaler.scale_.get(task.name, 1.0)
            units[task.name] = Units("regression", (mean,), scale)
        else:
            units[task.name] = _base_rate(task, data.targets[task.name], data.weights[task.name])
    return units


def _base_rate(task: Task, y: np.ndarray, weight: np.ndarray) -> Units:
    """Log-odds or log-rate of the training labels, with half a label more of each to keep it finite."""
    total = weight.sum()
    if task.kind == "counts":
        mean = (weight @ y + 0.5) / (total + 1.0)
        spread = float(np.std(y)) if len(y) and task.loss_name == "squared_error" else 0.0
        return Units("counts", (float(np.log(mean)),), spread or 1.0)
    if task.kind == "multiclass":
        table = y if y.ndim == 2 else np.eye(task.n_outputs)[y]
        share = (weight @ table + 0.5) / (total + 0.5 * task.n_outputs)
        return Units("multiclass", tuple(np.log(share).tolist()))
    table = y.reshape(len(y), task.n_outputs)
    known = ~np.isnan(table) * weight[:, None]
    share = ((known * np.nan_to_num(table)).sum(0) + 0.5) / (known.sum(0) + 1.0)
    return Units(str(task.kind), tuple(np.log(share / (1 - share)).tolist()))
