"""Fixed weights, chosen by the user."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from polytask.balancing.by_losses import LossBalancer
from polytask.balancing.cards import Card
from polytask.errors import SettingError


class Fixed(LossBalancer):
    """``L = Σ_t w_t L_t`` over the tasks that have labels in the batch.

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
    card = Card("weighting by hand", "w_t as given")

    def __init__(self, weights: Mapping[str, float]) -> None:
        if not weights:
            raise SettingError("Fixed balancing needs a weight per task: Fixed({'a': 1.0, 'b': 0.5}).")
        for task, weight in weights.items():
            if not (weight > 0 and math.isfinite(weight)):
                raise SettingError(f"Task '{task}': its weight must be positive and finite, got {weight!r}.")
        self.given = dict(weights)

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        missing = [task for task in tasks if task not in self.given]
        if missing:
            raise SettingError(f"Fixed balancing has no weight for task '{missing[0]}'.")
        return np.array([self.given[task] for task in tasks])
