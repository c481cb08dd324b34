"""ConFIG: the conflict-free direction at equal angles to all tasks' gradients."""

from __future__ import annotations

import numpy as np

from polytask.balancing.by_gramian import GramianBalancer
from polytask.balancing.cards import Card
from polytask.balancing.gradients.spectrum import equal_projections, norms_and_correlations

#: ‖x‖² of the unit gradients' combination below this is rounding.
ROUNDING = 1e-12


class ConFIG(GramianBalancer):
    """``d = (Σ_t ⟨g_t, û⟩) û``, û of length 1 with equal cosines to all gradients.

    ``û = x/‖x‖``, ``x = U⁺1``, the rows of U being the unit gradients: through the Gramian ``x = Uᵀβ``,
    ``β = R⁺1``, R the cosines. Where gradients are independent, every task improves. The direction does not
    change when losses are scaled; its length is a sum of projections. It is zero for tasks that cancel.

    Parameters
    ----------
    gradients, update_every
        See `GramianBalancer`.

    See Liu, Q., Chu, M., Thuerey, N. (2024). ConFIG: towards conflict-free training of physics informed
    neural networks. arXiv:2408.11104, eq. 2.
    """

    name = "config"
    card = Card(
        "Liu et al. 2024, ConFIG: conflict-free training, arXiv:2408.11104",
        "g = (Σ_t ⟨g_t, g_u⟩) g_u, g_u = 𝒰(U⁺1)",
        backward="1 + a sweep of T",
    )

    def __init__(self, gradients: str = "parameters", update_every: int = 1) -> None:
        super().__init__(gradients, update_every)

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        norms, correlations = norms_and_correlations(gramian)
        beta = equal_projections(correlations)
        projections = correlations @ beta
        square = beta @ projections
        if square <= ROUNDING:
            return np.zeros(len(tasks))
        return (norms @ projections) / square * beta / norms
