"""CAGrad: near the mean gradient, the direction that is best for the worst task."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from polytask.balancing.by_gramian import GramianBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import is_number
from polytask.balancing.gradients.warm import start
from polytask.balancing.solvers import cagrad, dual_cone, on_device
from polytask.balancing.state import PerTask
from polytask.errors import SettingError

#: ‖g_w‖ relative to a typical gradient below which rounding in the Gramian is all there is of it.
ROUNDING = 1e-7


class CAGrad(GramianBalancer):
    """``max_d min_t ⟨g_t, d⟩`` with ``‖d − g_0‖ ≤ c ‖g_0‖``, g_0 the mean gradient.

    ``d = g_0 + √φ/‖g_w‖ g_w``, ``φ = c²‖g_0‖²`` with w the minimiser of ``⟨g_w, g_0⟩ + √φ ‖g_w‖`` on the
    simplex: the mean of the gradients and a step from it. For c ≥ 1 no task becomes worse; c = 0 is the
    mean. For c < 1 the steps converge to stationary points of the mean loss.

    Where the best w has ``g_w = 0`` the formula is 0/0 and every d of the ball with ``⟨g_t, d⟩ ≥ 0`` is a
    solution; here it is the one nearest to g_0.

    Parameters
    ----------
    c : float
        Radius of the ball, at least 0; the paper's 0.4.
    gradients, update_every
        See `GramianBalancer`.

    Raises
    ------
    SettingError
        For a negative c.

    See Liu, B., Liu, X., Jin, X., Stone, P., Liu, Q. (2021). Conflict-averse gradient descent for multi-task
    learning. NeurIPS, algorithm 1. The authors' code also divides `d` by 1 + c or 1 + c².
    """

    name = "cagrad"
    card = Card(
        "Liu et al. 2021, Conflict-averse gradient descent for multi-task learning, NeurIPS",
        "max_d min_t ⟨g_t, d⟩, ‖d − g_0‖ ≤ c‖g_0‖",
        backward="1 + a sweep of T",
    )
    STATE = ("found",)

    def __init__(self, c: float = 0.4, gradients: str = "parameters", update_every: int = 1) -> None:
        super().__init__(gradients, update_every)
        if not (is_number(c) and c >= 0):
            raise SettingError(f"c must be a number of at least 0, got {c!r}.")
        self.c = float(c)
        self.found = PerTask()

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        m = len(tasks)
        mean = np.full(m, 1 / m)
        w = cagrad(gramian, self.c, start(self.found, tasks))
        self.found.write(tasks, w)
        norm = math.sqrt(max(w @ gramian @ w, 0.0))
        if norm <= ROUNDING * math.sqrt(np.trace(gramian) / m):
            return dual_cone(gramian, mean[None])[0]
        return mean + self.c * math.sqrt(max(mean @ gramian @ mean, 0.0)) / norm * w

    def weights_on_device(self, gramian: Tensor) -> Tensor | None:
        w = on_device.cagrad(gramian, self.c)
        gramian = gramian.to(w.dtype)
        mean = gramian.new_full((len(gramian),), 1 / len(gramian))
        norm = (w @ gramian @ w).clamp_min(ROUNDING**2 * gramian.diagonal().mean()).sqrt()
        return mean + self.c * (mean @ gramian @ mean).clamp_min(0).sqrt() / norm * w
