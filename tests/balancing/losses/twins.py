"""Slow and literal forms of the objectives, by autograd."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def gradient(objective: Callable[[Tensor], Tensor], losses: np.ndarray) -> np.ndarray:
    """``∂F/∂L_t`` of an objective of the vector of losses."""
    vector = torch.tensor(losses, requires_grad=True)
    (result,) = torch.autograd.grad(objective(vector), vector)
    return result.numpy()


class Learned:
    """One torch parameter per task, and torch's own Adam; it leaves out parameters without a gradient."""

    def __init__(self, tasks: tuple[str, ...], lr: float, weight_decay: float = 0.0) -> None:
        self.values = {t: torch.zeros((), dtype=torch.float64, requires_grad=True) for t in tasks}
        self.optimizer = torch.optim.Adam(self.values.values(), lr=lr, weight_decay=weight_decay)

    def of(self, tasks: tuple[str, ...]) -> Tensor:
        return torch.stack([self.values[t] for t in tasks])

    def step(self, objective: Callable[[], Tensor]) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        objective().backward()
        self.optimizer.step()
