"""Equal weighting: the default, and the bar for every other method."""

from __future__ import annotations

from torch import Tensor

from polytask.balancing.base import LossBalancer, TaskLosses


class Equal(LossBalancer):
    """``L = Σ_t L_t / T`` over the T tasks that have labels in the batch. One backward pass.

    See Xin, D., Ghorbani, B., Garg, A., Firat, O., Gilmer, J. (2022). Do current multi-task optimization
    methods in deep learning even help? NeurIPS, and Kurin, V., et al. (2022). In defense of the unitary
    scalarization for deep multi-task learning. NeurIPS.
    """

    name = "equal"

    def objective(self, losses: TaskLosses) -> Tensor:
        return losses.vector.mean()
