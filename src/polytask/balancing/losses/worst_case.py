"""Minimax over the tasks: the worst one counts most."""

from __future__ import annotations

import numpy as np

from polytask.balancing.by_losses import LossBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import check_positive
from polytask.balancing.simplex import softmax
from polytask.balancing.state import PerTask


class WorstCase(LossBalancer):
    """``min_θ max_{w ∈ Δ} Σ_t w_t L_t(θ)``, w by exponentiated gradient: ``w_t ∝ w_t e^{η L_t}`` each step.

    Losses should be on one scale, as the largest takes all in the end.

    Sagawa, S., Koh, P. W., Hashimoto, T. B., & Liang, P. (2020). Distributionally robust neural networks for
    group shifts. ICLR. Algorithm 1, with tasks for groups; as there, w moves first and its new value weighs
    the gradient. The tasks of a batch share out what they had together, so w of absent tasks stays.

    Parameters
    ----------
    eta : float
        Step size η of w. The default is that of the paper's code.

    Raises
    ------
    SettingError
        For an η that is not positive.
    """

    name = "worst_case"
    card = Card(
        "Sagawa, Koh, Hashimoto & Liang 2020, Distributionally robust neural networks, ICLR",
        "min_θ max_{w ∈ Δ} Σ_t w_t L_t; w_t ∝ w_t e^{η L_t}",
    )
    STATE = ("log_w",)

    def __init__(self, eta: float = 0.01) -> None:
        self.eta = check_positive("eta", eta)
        #: Logarithms of w, up to a common constant: a task starts at w = 1.
        self.log_w = PerTask()

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        old = self.log_w.read(tasks)
        new = old + self.eta * losses
        self.log_w.write(tasks, new + np.logaddexp.reduce(old) - np.logaddexp.reduce(new))
        return softmax(new)
