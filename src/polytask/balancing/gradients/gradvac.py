"""GradVac: gradients pulled up to the cosines that pairs of tasks usually have."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from polytask.balancing.by_gramian import GramianBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import is_number
from polytask.balancing.gradients.pairs import pair_names
from polytask.balancing.gradients.pcgrad import random_orders
from polytask.balancing.state import Draws, PerTask
from polytask.errors import SettingError

#: The largest target: the pull divides by √(1 − φ̂²), and rounding must not decide about tasks that agree.
TOP = 1 - 1e-6


class GradVac(GramianBalancer):
    """As PCGrad, but what a pair is pulled to is its usual cosine φ̂, not zero; `d` is the sum.

    For each i, over the others j in random order, with φ the cosine of g_i' and g_j: where φ < φ̂_ij,
    ``g_i' ← g_i' + ‖g_i'‖ (φ̂_ij √(1−φ²) − φ √(1−φ̂_ij²)) / (‖g_j‖ √(1−φ̂_ij²)) g_j``,
    which makes their cosine φ̂_ij; then ``φ̂_ij ← (1−β) φ̂_ij + β φ``. Targets begin at 0, where the rule is
    PCGrad's. They are kept by the names of the pair.

    Parameters
    ----------
    beta : float
        In [0, 1]: how fast targets move. The paper's 0.01.
    seed : int
        Of the orders.
    gradients, update_every
        See `GramianBalancer`.

    Raises
    ------
    SettingError
        For a beta outside [0, 1].

    See Wang, Z., Tsvetkov, Y., Firat, O., Cao, Y. (2021). Gradient vaccine: investigating and improving
    multi-task optimization in massively multilingual models. ICLR, algorithm 1. The paper does so for groups
    of parameters; here all shared ones are one group.
    """

    name = "gradvac"
    card = Card(
        "Wang et al. 2021, Gradient vaccine, ICLR",
        "g_i ← g_i + ‖g_i‖(φ̂√(1−φ²) − φ√(1−φ̂²))/(‖g_j‖√(1−φ̂²)) g_j if φ < φ̂; Σ_i g_i",
        backward="1 + a sweep of T",
    )
    STATE = ("draws", "targets")

    def __init__(
        self, beta: float = 0.01, seed: int = 0, gradients: str = "parameters", update_every: int = 1
    ) -> None:
        super().__init__(gradients, update_every)
        if not (is_number(beta) and 0 <= beta <= 1):
            raise SettingError(f"beta must be between 0 and 1, got {beta!r}.")
        self.beta = float(beta)
        self.draws = Draws(seed)
        self.targets = PerTask()

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        pairs = pair_names(tasks)
        targets = self.targets.read(pairs).reshape(gramian.shape)
        orders = random_orders(self.draws, len(tasks))
        weights = vaccinate(np.ascontiguousarray(gramian), orders, targets, self.beta)
        self.targets.write(pairs, targets.ravel())
        return weights


@njit(cache=True, nogil=True)
def vaccinate(
    gramian: np.ndarray, orders: np.ndarray, targets: np.ndarray, beta: float
) -> np.ndarray:  # pragma: no cover - compiled
    """Weights (m,) as `pcgrad.project`; the targets (m, m) are updated in place."""
    m = len(gramian)
    weights = np.zeros(m)
    for i in range(m):
        own = np.zeros(m)
        own[i] = 1.0
        products = gramian[i].copy()  # ⟨g_i', g_j⟩ for all j
        square = gramian[i, i]
        for j in orders[i]:
            if j == i:
                continue
            # g_i' may have become zero where g_j opposes g_i: no cosine, nothing to pull.
            norms = math.sqrt(max(square, 0.0) * gramian[j, j])
            if norms <= 0.0:
                continue
            phi = min(max(products[j] / norms, -1.0), 1.0)
            target = min(targets[i, j], TOP)
            if phi < target:
                sine, target_sine = math.sqrt(1.0 - phi * phi), math.sqrt(1.0 - target * target)
                step = math.sqrt(square / gramian[j, j]) * (target * sine / target_sine - phi)
                own[j] += step
                products += step * gramian[j]
                square = own @ products
            targets[i, j] = (1.0 - beta) * targets[i, j] + beta * phi
        weights += own
    return weights
