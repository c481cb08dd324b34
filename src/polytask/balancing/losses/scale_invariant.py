"""The sum of the logarithms of the losses."""

from __future__ import annotations

import numpy as np

from polytask.balancing.by_losses import LossBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import check_losses


class ScaleInvariant(LossBalancer):
    """``F = Σ_t log L_t``, so ``w_t = 1 / L_t``: the units of a loss do not matter at all.

    The baseline SI of Navon, A., Shamsian, A., Achituve, I., Maron, H., Kawaguchi, K., Chechik, G., & Fetaya,
    E. (2022). Multi-task learning as a bargaining game. ICML.

    Raises
    ------
    TrainingError
        For a loss that is not positive.
    """

    name = "scale_invariant"
    card = Card("Navon et al. 2022, Multi-task learning as a bargaining game (SI), ICML", "F = Σ_t log L_t")

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        check_losses(self.name, tasks, losses, zero=False)
        return 1 / losses
