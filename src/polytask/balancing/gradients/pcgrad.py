"""PCGrad: each gradient without its components that conflict with others."""

from __future__ import annotations

import numpy as np
from numba import njit

from polytask.balancing.by_gramian import GramianBalancer
from polytask.balancing.cards import Card
from polytask.balancing.state import Draws


class PCGrad(GramianBalancer):
    """For each task i, over the others j in random order: project away what conflicts; `d` is the sum.

    ``g_i^PC ← g_i^PC − ⟨g_i^PC, g_j⟩/‖g_j‖² g_j`` where ``⟨g_i^PC, g_j⟩ < 0``, and ``d = Σ_i g_i^PC``.
    All of it is done on coefficients of the gradients, through the Gramian. With two tasks no task becomes
    worse; with more that can happen, as a later projection may bring back an earlier conflict.

    Parameters
    ----------
    seed : int
        Of the orders.
    gradients, update_every
        See `GramianBalancer`.

    See Yu, T., Kumar, S., Gupta, A., Levine, S., Hausman, K., Finn, C. (2020). Gradient surgery for
    multi-task learning. NeurIPS, algorithm 1.
    """

    name = "pcgrad"
    card = Card(
        "Yu et al. 2020, Gradient surgery for multi-task learning, NeurIPS",
        "g_i ← g_i − ⟨g_i, g_j⟩/‖g_j‖² g_j if ⟨g_i, g_j⟩ < 0; Σ_i g_i",
        backward="1 + a sweep of T",
    )
    STATE = ("draws",)

    def __init__(self, seed: int = 0, gradients: str = "parameters", update_every: int = 1) -> None:
        super().__init__(gradients, update_every)
        self.draws = Draws(seed)

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        return project(np.ascontiguousarray(gramian), random_orders(self.draws, len(tasks)))


def random_orders(draws: Draws, m: int) -> np.ndarray:
    """m orders of m tasks, shape (m, m)."""
    return draws.rng.permuted(np.tile(np.arange(m), (m, 1)), axis=1)


@njit(cache=True, nogil=True)
def project(gramian: np.ndarray, orders: np.ndarray) -> np.ndarray:  # pragma: no cover - compiled
    """Weights (m,) from a Gramian (m, m) and the order in which task i meets the others, row i (m, m)."""
    m = len(gramian)
    weights = np.zeros(m)
    for i in range(m):
        products = gramian[i].copy()  # ⟨g_i^PC, g_j⟩ for all j
        weights[i] += 1.0
        for j in orders[i]:
            if j != i and products[j] < 0.0:
                step = -products[j] / gramian[j, j]
                weights[j] += step
                products += step * gramian[j]
    return weights
