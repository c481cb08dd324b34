"""Adam for a method's own learned numbers, one per task."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

#: Per task: first moment, second moment, number of steps. Plain data, so it can be saved as it is.
Moments = dict[str, list[float]]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


def adam_change(moments: Moments, tasks: Sequence[str], gradient: np.ndarray, lr: float) -> np.ndarray:
    """What one step of Adam adds to the numbers of these tasks; their moments are updated.

    Every task counts its own steps: one that is absent keeps its moments, and the bias correction of one that
    comes late starts when it comes. Kingma, D. P., & Ba, J. (2015). Adam: a method for stochastic
    optimization. ICLR; with the defaults of the paper.

    Parameters
    ----------
    moments : dict
        Changed in place.
    tasks : sequence of str
    gradient : array of shape (len(tasks),)
    lr : float

    Returns
    -------
    array of shape (len(tasks),)
    """
    change = np.empty(len(tasks))
    for i, (task, g) in enumerate(zip(tasks, gradient.tolist())):
        m, v, k = moments.get(task, (0.0, 0.0, 0))
        m, v, k = BETA_1 * m + (1 - BETA_1) * g, BETA_2 * v + (1 - BETA_2) * g * g, k + 1
        moments[task] = [m, v, k]
        change[i] = -lr * (m / (1 - BETA_1**k)) / (math.sqrt(v / (1 - BETA_2**k)) + EPSILON)
    return change
