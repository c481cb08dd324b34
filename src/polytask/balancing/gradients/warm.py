"""Where a solver starts: at the solution of the last step, for tasks that had one."""

from __future__ import annotations

import math

import numpy as np

from polytask.balancing.state import PerTask


def start(found: PerTask, tasks: tuple[str, ...]) -> np.ndarray | None:
    """The last solution (m,), or None if a task was in none yet."""
    values = found.read(tasks, math.nan)
    return None if np.isnan(values).any() else values
