"""The group lasso penalty: L2 norms of each feature's coefficients across tasks (Yuan & Lin 2006)."""

from __future__ import annotations

import numpy as np

from polytask.linear.penalties.base import Penalty, blocks_alone, largest_ratio


class Group(Penalty):
    """α Σ_j f_j ‖B_j‖₂, B_j the coefficients of feature j in all tasks.

    Parameters
    ----------
    alpha : float
    factors : (p,) array
    """

    def __init__(self, alpha: float, factors: np.ndarray) -> None:
        self.threshold = alpha * np.asarray(factors, dtype=float)

    def value(self, coef: np.ndarray) -> float:
        return float(self.threshold @ np.linalg.norm(coef, axis=0))

    def prox(self, coef: np.ndarray, step: float) -> np.ndarray:
        norms = np.linalg.norm(coef, axis=0)
        shrink = np.divide(step * self.threshold, norms, out=np.ones_like(norms), where=norms > 0)
        return coef * np.maximum(1.0 - shrink, 0.0)

    def polar(self, slope: np.ndarray) -> float | None:
        return largest_ratio(np.linalg.norm(slope, axis=0), self.threshold)

    def free_blocks(self, shape: tuple[int, int]) -> np.ndarray | None:
        return blocks_alone(self.threshold == 0, shape)
