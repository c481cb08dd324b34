"""The geometric mean of the losses."""

from __future__ import annotations

import numpy as np

from polytask.balancing.by_losses import LossBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import check_losses


class GeometricMean(LossBalancer):
    """``F = (Π_t L_t)^{1/T}``, so ``w_t = F / (T L_t)``, over the T tasks that have labels in the batch.

    Multiplying one task's loss by a constant changes the length of the gradient, not its direction.

    Chennupati, S., Sistu, G., Yogamani, S., & Rawashdeh, S. A. (2019). MultiNet++: multi-stream feature
    aggregation and geometric loss strategy for multi-task learning. CVPR Workshops.

    Raises
    ------
    TrainingError
        For a loss that is not positive.
    """

    name = "geometric_mean"
    card = Card(
        "Chennupati, Sistu, Yogamani & Rawashdeh 2019, MultiNet++, CVPR Workshops", "F = (Π_t L_t)^{1/T}"
    )

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        check_losses(self.name, tasks, losses, zero=False)
        # In logarithms: the product of many losses leaves the range of floats.
        logs = np.log(losses)
        return np.exp(logs.mean() - logs) / len(tasks)
