"""IMTL-G: the direction with equal projections on all tasks' gradients."""

from __future__ import annotations

import numpy as np

from polytask.balancing.by_gramian import GramianBalancer
from polytask.balancing.cards import Card
from polytask.balancing.gradients.spectrum import equal_projections, norms_and_correlations

#: A sum of weights that is smaller than this, relative to them, is rounding.
ROUNDING = 1e-9


class IMTLG(GramianBalancer):
    """``⟨d, u_t⟩`` is the same for all tasks, u_t = g_t/‖g_t‖; ``d = Σ_t α_t g_t`` with ``Σ_t α_t = 1``.

    In closed form from the Gramian: ``α_t ∝ β_t/‖g_t‖``, ``β = R⁺1``, R the cosines of the gradients. Weights
    may be negative, and with three or more tasks the common projection may be so too, since the paper fixes
    the sum of the weights. The direction does not change when losses are scaled.

    Where gradients depend on each other linearly, β is the shortest solution (least squares where there is
    none); the weights are zero where they cancel, as for two opposed tasks.

    Parameters
    ----------
    gradients, update_every
        See `GramianBalancer`.

    See Liu, L., Li, Y., Kuang, Z., Xue, J., Chen, Y., Yang, W., Liao, Q., Zhang, W. (2021). Towards impartial
    multi-task learning. ICLR, eq. 6: ``α = g_1 Uᵀ (D Uᵀ)⁻¹``.
    """

    name = "imtl_g"
    card = Card(
        "Liu et al. 2021, Towards impartial multi-task learning, ICLR",
        "⟨Σ_t α_t g_t, u_1 − u_t⟩ = 0, Σ_t α_t = 1",
        backward="1 + a sweep of T",
    )

    def __init__(self, gradients: str = "parameters", update_every: int = 1) -> None:
        super().__init__(gradients, update_every)

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        norms, correlations = norms_and_correlations(gramian)
        weights = equal_projections(correlations) / norms
        total = weights.sum()
        if abs(total) <= ROUNDING * np.abs(1 / norms).sum():
            return np.zeros(len(tasks))
        return weights / total
