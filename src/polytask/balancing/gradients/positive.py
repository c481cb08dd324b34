"""Losses that a method divides by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polytask.errors import TrainingError


def check_positive(tasks: Sequence[str], losses: np.ndarray, why: str) -> None:
    """Refuse losses that are zero or negative.

    Raises
    ------
    TrainingError
        With the first such task's name.
    """
    for task, loss in zip(tasks, losses):
        if not loss > 0:
            raise TrainingError(
                f"Task '{task}': its loss is {loss:g}, but {why}; use a loss that is always positive, "
                "or another method."
            )
