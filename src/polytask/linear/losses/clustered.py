"""A loss with the convex cluster penalty added to it, which is smooth: for constraints on the coefficients."""

from __future__ import annotations

import numpy as np

from polytask.linear.losses.base import SmoothLoss
from polytask.linear.losses.penalised import Penalised
from polytask.linear.solvers.cluster_penalty import ClusterPenalty


class Clustered(Penalised):
    """f(B) + R(B), R the cluster penalty with its best cluster matrix.

    R is smooth: its gradient is P B with the best P (Danskin 1967).

    Parameters
    ----------
    loss : SmoothLoss
    cluster_penalty : ClusterPenalty
    factors : (p,) array of 0 and 1
    """

    def __init__(self, loss: SmoothLoss, cluster_penalty: ClusterPenalty, factors: np.ndarray) -> None:
        self.cluster_penalty, self.penalised = cluster_penalty, factors > 0
        super().__init__(loss, cluster_penalty.alpha * (1 + cluster_penalty.strength))

    def penalty(self, coef: np.ndarray) -> tuple[float, np.ndarray]:
        part, gradient = coef[:, self.penalised], np.zeros_like(coef)
        quadratic = self.cluster_penalty.best(part)
        gradient[:, self.penalised] = quadratic.matrix @ part
        return quadratic.value(part), gradient

    def dual(self, coef: np.ndarray, scale: float) -> float:
        slope = scale * self.loss.at(coef).slope[:, self.penalised]
        return self.loss.dual(coef, scale) - self.cluster_penalty.conjugate(slope)
