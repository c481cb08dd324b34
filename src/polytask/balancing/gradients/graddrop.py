"""GradDrop: per parameter, only the gradients of one sign, drawn at random."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from polytask.balancing.by_gradients import GradientBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import is_number
from polytask.balancing.state import Draws
from polytask.errors import SettingError


class GradDrop(GradientBalancer):
    """Per parameter one sign is kept, positive with probability `P`; `d` is the sum of what is kept.

    ``P = ½ (1 + Σ_t g_t / Σ_t |g_t|)``, elementwise; with U uniform on [0, 1]:
    ``M_t = 1[P > U] 1[g_t > 0] + 1[P < U] 1[g_t < 0]`` and ``d = Σ_t (ℓ + (1 − ℓ) M_t) g_t``. Where all
    gradients have one sign nothing is dropped.

    Parameters
    ----------
    leak : float
        ℓ in [0, 1], the share of what is dropped that comes through: 0 as in the paper's main form, 1 is the
        plain sum.
    seed : int
        Of U, which is drawn on the CPU: the same on all ranks and devices.

    Raises
    ------
    SettingError
        For a leak outside [0, 1].

    See Chen, Z., Ngiam, J., Huang, Y., Luong, T., Kretzschmar, H., Chai, Y., Anguelov, D. (2020). Just pick
    a sign: optimizing deep multitask models with gradient sign dropout. NeurIPS, algorithm 1. The paper puts
    it at activations; here the gradients are those of the shared parameters.
    """

    name = "graddrop"
    card = Card(
        "Chen et al. 2020, Just pick a sign: gradient sign dropout, NeurIPS",
        "P = ½(1 + Σ∇L/Σ|∇L|); keep one sign, positive if P > U",
        backward="T",
        memory="T × P",
    )
    STATE = ("draws",)

    def __init__(self, leak: float = 0.0, seed: int = 0) -> None:
        if not (is_number(leak) and 0 <= leak <= 1):
            raise SettingError(f"leak must be between 0 and 1, got {leak!r}.")
        self.leak = float(leak)
        self.draws = Draws(seed)

    def direction(self, tasks: tuple[str, ...], losses: np.ndarray, jacobian: Tensor) -> Tensor:
        # Sums of the positive and of the negative gradients say it all: P is the share of the former, and one
        # of the two is what is kept. Task by task: a mask of the whole table would be as large as the table.
        positive, negative = torch.zeros_like(jacobian[0]), torch.zeros_like(jacobian[0])
        for gradient in jacobian:
            positive += gradient.clamp_min(0)
            negative += gradient.clamp_max(0)
        purity = positive / (positive - negative).clamp_min(torch.finfo(jacobian.dtype).tiny)
        kept = torch.where(purity > self._uniform(purity), positive, negative)
        return kept if self.leak == 0 else self.leak * (positive + negative) + (1 - self.leak) * kept

    def _uniform(self, like: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(int(self.draws.rng.integers(2**63 - 1)))
        return torch.rand(like.shape, generator=generator, dtype=like.dtype).to(like.device)
