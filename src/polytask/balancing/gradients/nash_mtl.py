"""Nash-MTL: the direction that the tasks would agree on in a bargain."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from polytask.balancing.by_gramian import GramianBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import is_number
from polytask.balancing.gradients.warm import start
from polytask.balancing.solvers import nash, on_device
from polytask.balancing.state import PerTask
from polytask.errors import SettingError


class NashMTL(GramianBalancer):
    """``d = Σ_t α_t g_t`` with ``Gα = 1/α``, ``α > 0``: it maximises ``Σ_t log ⟨g_t, d⟩`` in a ball.

    Every task improves, and `d` does not change when losses are scaled. ``‖d‖ = √T``, whatever the
    gradients: the learning rate alone sets the step. At Pareto-stationary points the bargain has no solution;
    weights grow without bound on the way there, and are kept finite.

    Parameters
    ----------
    max_norm : float, optional
        The largest ‖d‖, as the authors' code has it with 1.0; by default, as in the paper, there is none.
    gradients : {"parameters", "features"}
        See `GramianBalancer`.
    update_every : int
        Steps between two updates of α, as in the paper's speed-up.

    Raises
    ------
    SettingError
        For a max_norm that is not positive.

    See Navon, A., Shamsian, A., Achituve, I., Maron, H., Kawaguchi, K., Chechik, G., Fetaya, E. (2022).
    Multi-task learning as a bargaining game. ICML, claim 3.1 and algorithm 1. The authors' code searches for α
    by a sequence of convex problems on ``G/‖G‖``, which scales α by ``√‖G‖``; here it is exact.
    """

    name = "nash_mtl"
    card = Card(
        "Navon et al. 2022, Multi-task learning as a bargaining game, ICML",
        "GᵀG α = 1/α",
        backward="1 + a sweep of T",
    )
    STATE = ("found",)

    def __init__(
        self, max_norm: float | None = None, gradients: str = "parameters", update_every: int = 1
    ) -> None:
        super().__init__(gradients, update_every)
        if max_norm is not None and not (is_number(max_norm) and max_norm > 0):
            raise SettingError(f"max_norm must be positive or None, got {max_norm!r}.")
        self.max_norm = max_norm
        self.found = PerTask()

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        alpha = nash(gramian, start(self.found, tasks))
        self.found.write(tasks, alpha)
        if self.max_norm is None:
            return alpha
        norm = math.sqrt(max(alpha @ gramian @ alpha, 0.0))
        return alpha if norm <= self.max_norm else alpha * (self.max_norm / norm)

    def weights_on_device(self, gramian: Tensor) -> Tensor | None:
        alpha = on_device.nash(gramian)
        if self.max_norm is None:
            return alpha
        norm = (alpha @ gramian.to(alpha.dtype) @ alpha).clamp_min(0).sqrt()
        return alpha * (self.max_norm / norm.clamp_min(self.max_norm))
