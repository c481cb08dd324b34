"""Fixed weights, chosen by the user."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from polytask.balancing.base import LossBalancer, TaskLosses
from polytask.errors import SettingError


class Fixed(LossBalancer):
    """``L = Σ_t w_t L_t`` over the tasks that have labels in the batch. One backward pass.

    Parameters
    ----------
    weights : mapping of str to float
        Positive weight of each task, used as given (not normalised).

    Raises
    ------
    SettingError
        For no weights or one that is not positive; in training, for a task without a weight.
    """

    name = "fixed"

    def __init__(self, weights: Mapping[str, float]) -> None:
        if not weights:
            raise SettingError("Fixed balancing needs a weight per task: Fixed({'a': 1.0, 'b': 0.5}).")
        for task, weight in weights.items():
            if not (weight > 0 and math.isfinite(weight)):
                raise SettingError(f"Task '{task}': its weight must be positive and finite, got {weight!r}.")
        self.weights = dict(weights)

    def objective(self, losses: TaskLosses) -> Tensor:
        missing = [task for task in losses if task not in self.weights]
        if missing:
            raise SettingError(f"Fixed balancing has no weight for task '{missing[0]}'.")
        weights = losses.vector.new_tensor([self.weights[task] for task in losses])
        return (weights * losses.vector).sum()
