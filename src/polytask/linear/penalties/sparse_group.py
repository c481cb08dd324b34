"""The sparse group lasso penalty: whole rows of zeros, and zeros within the others.

    Ω(B) = α Σ_j f_j [(1 − r) ‖B_j‖₂ + r ‖B_j‖₁]

Simon, Friedman, Hastie & Tibshirani (2013), "A sparse-group lasso". Its dual norm is that of the ε-norm, as in
Ndiaye, Fercoq, Gramfort & Salmon (2016), "GAP safe screening rules for sparse-group lasso".
"""

from __future__ import annotations

import numpy as np

from polytask.linear.penalties.base import Penalty, blocks_alone, largest_ratio


class SparseGroup(Penalty):
    """α Σ_j f_j [(1 − r) ‖B_j‖₂ + r ‖B_j‖₁], B_j the coefficients of feature j in all tasks.

    Parameters
    ----------
    alpha : float
    l1_ratio : float in [0, 1]
        r: 0 is the group lasso, 1 the lasso.
    factors : (p,) array
    """

    def __init__(self, alpha: float, l1_ratio: float, factors: np.ndarray) -> None:
        self.threshold = alpha * np.asarray(factors, dtype=float)
        self.l1_ratio = float(l1_ratio)

    def value(self, coef: np.ndarray) -> float:
        rows = np.linalg.norm(coef, axis=0)
        entries = np.abs(coef).sum(axis=0)
        return float(self.threshold @ ((1 - self.l1_ratio) * rows + self.l1_ratio * entries))

    def prox(self, coef: np.ndarray, step: float) -> np.ndarray:
        # The group's prox after the lasso's is that of their sum.
        cut = np.maximum(np.abs(coef) - step * self.l1_ratio * self.threshold, 0.0)
        norms = np.linalg.norm(cut, axis=0)
        shrink = step * (1 - self.l1_ratio) * self.threshold
        share = np.divide(shrink, norms, out=np.ones_like(norms), where=norms > 0)
        return np.sign(coef) * cut * np.maximum(1.0 - share, 0.0)

    def polar(self, slope: np.ndarray) -> float | None:
        return largest_ratio(sparse_group_dual(slope, self.l1_ratio), self.threshold)

    def free_blocks(self, shape: tuple[int, int]) -> np.ndarray | None:
        return blocks_alone(self.threshold == 0, shape)


def sparse_group_dual(slope: np.ndarray, l1_ratio: float) -> np.ndarray:
    """(p,) dual norms of the columns of a table (q, p) for (1 − r) ‖·‖₂ + r ‖·‖₁.

    The dual norm ν solves ‖S(ξ, r ν)‖₂ = (1 − r) ν, S the soft threshold: a quadratic equation in ν once the
    entries larger than r ν are known.
    """
    r = float(l1_ratio)
    ordered = -np.sort(-np.abs(slope), axis=0)
    # Powers of numbers up to 1 don't overflow.
    unit = np.where(ordered[0] > 0, ordered[0], 1.0)
    ordered = ordered / unit
    count = np.arange(1, len(slope) + 1)[:, None]
    sums, squares = np.cumsum(ordered, axis=0), np.cumsum(ordered**2, axis=0)
    # Entry i is above r ν if the thresholded norm at ν = ξ_i / r is at most (1 − r) ξ_i / r.
    excess = squares - 2 * ordered * sums + count * ordered**2
    kept = np.maximum((r * r * excess <= ((1 - r) * ordered) ** 2).sum(axis=0), 1) - 1
    columns = np.arange(slope.shape[1])
    total, square = sums[kept, columns], squares[kept, columns]
    # (k r² − (1 − r)²) ν² − 2 r Σξ ν + Σξ² = 0, its lesser root in the form that does not cancel.
    root = (r * total) ** 2 - square * ((kept + 1) * r * r - (1 - r) ** 2)
    below = r * total + np.sqrt(np.maximum(root, 0.0))
    return unit * np.divide(square, below, out=np.zeros_like(square), where=below > 0)
