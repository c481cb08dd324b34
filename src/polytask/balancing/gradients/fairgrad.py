"""FairGrad: α-fair shares of the improvement for all tasks."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from polytask.balancing.by_gramian import GramianBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import is_number
from polytask.balancing.gradients.warm import start
from polytask.balancing.solvers import fair, on_device
from polytask.balancing.state import PerTask
from polytask.errors import SettingError


class FairGrad(GramianBalancer):
    """``d = Σ_t w_t g_t`` with ``Gw = w^{−1/α}``, ``w > 0``: it maximises ``Σ_t ⟨g_t, d⟩^{1−α}/(1−α)`` in a ball.

    Every task improves. α = 1 is proportional fairness, Nash-MTL's; towards 0 it is equal weights, and a
    large α favours the task that improves least, as MGDA.

    Parameters
    ----------
    alpha : float
        Positive.
    gradients, update_every
        See `GramianBalancer`.

    Raises
    ------
    SettingError
        For an alpha that is not positive.

    See Ban, H., Ji, K. (2024). Fair resource allocation in multi-task learning. ICML, eq. 7. The authors'
    code minimises the residual by least squares; here it is zero.
    """

    name = "fairgrad"
    card = Card(
        "Ban & Ji 2024, Fair resource allocation in multi-task learning, ICML",
        "GᵀG w = w^{−1/α}",
        backward="1 + a sweep of T",
    )
    STATE = ("found",)

    def __init__(self, alpha: float = 1.0, gradients: str = "parameters", update_every: int = 1) -> None:
        super().__init__(gradients, update_every)
        if not (is_number(alpha) and alpha > 0):
            raise SettingError(f"alpha must be positive and finite, got {alpha!r}; for 0 use 'equal'.")
        self.alpha = float(alpha)
        self.found = PerTask()

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        weights = fair(gramian, self.alpha, start(self.found, tasks))
        self.found.write(tasks, weights)
        return weights

    def weights_on_device(self, gramian: Tensor) -> Tensor | None:
        return on_device.fair(gramian, self.alpha)
