"""Impartial multi-task learning, the part that balances losses."""

from __future__ import annotations

import numpy as np

from polytask.balancing.adam import Moments, adam_change
from polytask.balancing.by_losses import LossBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import check_losses, check_positive
from polytask.balancing.state import PerTask


class IMTLL(LossBalancer):
    """``F = Σ_t (e^{s_t} L_t − s_t)``, s learned; at its optimum every scaled loss ``e^{s_t} L_t`` is 1.

    Liu, L., Li, Y., Kuang, Z., Xue, J., Chen, Y., Yang, W., Liao, Q., & Zhang, W. (2021). Towards impartial
    multi-task learning. ICLR. IMTL-L, with the base e. The paper lets the network's optimizer learn s; here it
    has an Adam of its own, so weight decay, schedule and clipping do not reach it.

    Parameters
    ----------
    lr : float
        Learning rate of s. The default is that of Adam.
    bound : float
        s stays in [−bound, bound], so a loss that goes to zero does not make its weight grow without end.

    Raises
    ------
    SettingError
        For a setting that is not positive.
    TrainingError
        For a negative loss: F has no minimum in s.
    """

    name = "imtl_l"
    card = Card(
        "Liu et al. 2021, Towards impartial multi-task learning, ICLR",
        "F = Σ_t (e^{s_t} L_t − s_t), s learned",
    )
    STATE = ("s", "moments")

    def __init__(self, lr: float = 1e-3, bound: float = 10.0) -> None:
        self.lr = check_positive("lr", lr)
        self.bound = check_positive("bound", bound)
        #: Logarithms of the scales.
        self.s = PerTask()
        self.moments: Moments = {}

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        check_losses(self.name, tasks, losses, zero=True)
        s = self.s.read(tasks)
        weights = np.exp(s)
        change = adam_change(self.moments, tasks, weights * losses - 1, self.lr)
        self.s.write(tasks, np.clip(s + change, -self.bound, self.bound))
        return weights
