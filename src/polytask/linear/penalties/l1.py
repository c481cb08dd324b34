"""The lasso penalty: absolute values of all coefficients (Tibshirani 1996)."""

from __future__ import annotations

import numpy as np

from polytask.linear.penalties.base import Penalty, blocks_alone, largest_ratio


class L1(Penalty):
    """Σ_t α_t Σ_j f_j |b_tj|.

    Parameters
    ----------
    alpha : float or (q,) array
    factors : (p,) array
    """

    def __init__(self, alpha: float | np.ndarray, factors: np.ndarray) -> None:
        self.threshold = np.multiply.outer(np.atleast_1d(np.asarray(alpha, dtype=float)), factors)

    def value(self, coef: np.ndarray) -> float:
        return float((self.threshold * np.abs(coef)).sum())

    def prox(self, coef: np.ndarray, step: float) -> np.ndarray:
        return np.sign(coef) * np.maximum(np.abs(coef) - step * self.threshold, 0.0)

    def polar(self, slope: np.ndarray) -> float | None:
        return largest_ratio(np.abs(slope), self.threshold)

    def free_blocks(self, shape: tuple[int, int]) -> np.ndarray | None:
        return blocks_alone(self.threshold == 0, shape)
