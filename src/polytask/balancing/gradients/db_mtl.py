"""DB-MTL: smoothed gradients of log losses, all as long as the longest."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from polytask.balancing.by_gradients import GradientBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import check_losses, is_number
from polytask.errors import SettingError


class DBMTL(GradientBalancer):
    """``d = α Σ_t ĝ_t/‖ĝ_t‖``, ``α = max_t ‖ĝ_t‖``, with ``ĝ_t ← β ĝ_t + (1 − β) ∇ log L_t``, from zero.

    `d` is a sum, and does not change when losses are scaled. A task's ĝ stays as it is while the task is
    absent.

    Parameters
    ----------
    beta : float
        In [0, 1): how long gradients are remembered.

    Raises
    ------
    SettingError
        For a beta outside [0, 1).
    TrainingError
        For a loss that is not positive.

    See Lin, B., Jiang, W., Ye, F., Zhang, Y., Chen, P., Chen, Y.-C., Liu, S., Tsang, I. W., Kwok, J. T.
    (2023). Dual-balancing for multi-task learning. arXiv:2308.12029, algorithm 1. Heads receive the gradient
    of the plain loss here, where the paper also takes the logarithm's.
    """

    name = "db_mtl"
    card = Card(
        "Lin et al. 2023, Dual-balancing for multi-task learning, arXiv:2308.12029",
        "max_s‖ĝ_s‖ Σ_t ĝ_t/‖ĝ_t‖, ĝ_t ← βĝ_t + (1−β)∇log ℓ_t",
        backward="T",
        memory="2 T × P",
    )
    STATE = ("smoothed",)

    def __init__(self, beta: float = 0.9) -> None:
        if not (is_number(beta) and 0 <= beta < 1):
            raise SettingError(f"beta must be at least 0 and below 1, got {beta!r}.")
        self.beta = float(beta)
        #: Task → ĝ of shape (P,).
        self.smoothed: dict[str, Tensor] = {}

    def direction(self, tasks: tuple[str, ...], losses: np.ndarray, jacobian: Tensor) -> Tensor:
        check_losses(self.name, tasks, losses, zero=False)
        for task, loss, gradient in zip(tasks, losses, jacobian):
            new = gradient * ((1 - self.beta) / float(loss))
            old = self.smoothed.get(task)
            self.smoothed[task] = new if old is None else new.add_(old.to(new), alpha=self.beta)
        norms = torch.stack([self.smoothed[task].norm() for task in tasks])
        scales = norms.max() / norms.clamp_min(torch.finfo(norms.dtype).tiny)
        direction = torch.zeros_like(jacobian[0])
        for task, scale in zip(tasks, scales):
            direction.add_(self.smoothed[task], alpha=float(scale))
        return direction
