"""Equal weighting: the default, and the bar for every other method."""

from __future__ import annotations

import numpy as np

from polytask.balancing.by_losses import LossBalancer
from polytask.balancing.cards import Card


class Equal(LossBalancer):
    """``L = Σ_t L_t / T`` over the T tasks that have labels in the batch.

    See Xin, D., Ghorbani, B., Garg, A., Firat, O., Gilmer, J. (2022). Do current multi-task optimization
    methods in deep learning even help? NeurIPS, and Kurin, V., et al. (2022). In defense of the unitary
    scalarization for deep multi-task learning. NeurIPS.
    """

    name = "equal"
    card = Card("Caruana 1997, Multitask learning, Machine Learning 28", "w_t = 1/T")

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        return np.full(len(tasks), 1 / len(tasks))
