"""The trace norm: singular values of the coefficients (Fazel, Hindi & Boyd 2001; Yuan et al. 2007)."""

from __future__ import annotations

import numpy as np

from polytask.linear.penalties.base import Penalty, blocks_alone


class TraceNorm(Penalty):
    """α Σ_i σ_i(B'), B' the columns of B whose factor is not zero, multiplied by their factors.

    Parameters
    ----------
    alpha : float
    factors : (p,) array
        Zeros and one other value: with more, this prox has no closed form.
    """

    def __init__(self, alpha: float, factors: np.ndarray) -> None:
        factors = np.asarray(factors, dtype=float)
        self.penalised = factors > 0
        self._all = bool(self.penalised.all())
        self.alpha = alpha * float(factors.max(initial=0.0))
        if np.any(factors[self.penalised] != factors.max(initial=0.0)):
            raise ValueError(
                "The trace norm takes one factor for all penalised features; scale them instead."
            )

    def value(self, coef: np.ndarray) -> float:
        # Not from the Gram, whose zero eigenvalues have square roots of 1e-8.
        return self.alpha * float(np.linalg.svd(coef[:, self.penalised], compute_uv=False).sum())

    def prox(self, coef: np.ndarray, step: float) -> np.ndarray:
        if self._all:
            return shrink_singular_values(coef, step * self.alpha)
        out = coef.copy()
        out[:, self.penalised] = shrink_singular_values(coef[:, self.penalised], step * self.alpha)
        return out

    def polar(self, slope: np.ndarray) -> float | None:
        return spectral_norm(slope[:, self.penalised]) / self.alpha if self.alpha > 0 else None

    def free_blocks(self, shape: tuple[int, int]) -> np.ndarray | None:
        return blocks_alone(~self.penalised, shape)


def shrink_singular_values(matrix: np.ndarray, threshold: float) -> np.ndarray:
    """Every singular value less `threshold`, or zero: U max(σ − threshold, 0) Vᵀ.

    The eigenvectors of the smaller Gram matrix project the matrix itself, so that the long side is never
    decomposed, and singular values below the threshold leave no trace.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return shrink_singular_values(matrix.T, threshold).T
    values, vectors = np.linalg.eigh(matrix @ matrix.T)
    sigma = np.sqrt(np.maximum(values, 0.0))
    kept = sigma > threshold
    left = vectors[:, kept]
    return (left * (1.0 - threshold / sigma[kept])) @ (left.T @ matrix)


def spectral_norm(matrix: np.ndarray) -> float:
    """The largest singular value."""
    if 0 in matrix.shape:
        return 0.0
    small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    return float(np.sqrt(max(np.linalg.eigvalsh(small)[-1], 0.0)))


def numerical_rank(matrix: np.ndarray) -> int:
    """Singular values above a millionth of the largest."""
    sigma = np.linalg.svd(matrix, compute_uv=False)
    return int((sigma > 1e-6 * sigma.max(initial=0.0)).sum())
