"""The graphical lasso: a sparse precision matrix of a covariance matrix S, the diagonal not penalised.

    min_Ω≻0  tr(SΩ) − log|Ω| + λ Σ_{i≠j} |ω_ij|

Column by column on the precision itself (Mazumder & Hastie 2012, their P-GLASSO): with Ω₁₁ fixed, the least over
ω₂₂ is at ω₂₂ = 1/s₂₂ + ω₁₂ᵀ Ω₁₁⁻¹ ω₁₂, which leaves the lasso s₂₂ ω₁₂ᵀ Ω₁₁⁻¹ ω₁₂ + 2 s₁₂ᵀω₁₂ + 2λ‖ω₁₂‖₁. Every
iterate is positive definite and the objective never increases, from any start, at λ = 0 as well.

The dual is max_W log|W| + q over |W − S| ≤ λ off the diagonal, W = S on it (Banerjee et al. 2008); Ω⁻¹ clipped into
that box gives the duality gap.

References
----------
Friedman, Hastie, Tibshirani (2008). Sparse inverse covariance estimation with the graphical lasso. Biostatistics 9.
Banerjee, El Ghaoui, d'Aspremont (2008). Model selection through sparse maximum likelihood estimation. JMLR 9.
Mazumder, Hastie (2012). The graphical lasso: new insights and alternatives. Electronic Journal of Statistics 6.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

#: Passes over one column's lasso: the columns themselves are swept again, so it need not be exact.
_INNER = 20


class SparsePrecision(NamedTuple):
    """precision (q, q), covariance (q, q) its inverse, the duality gap, and the number of sweeps."""

    precision: np.ndarray
    covariance: np.ndarray
    gap: float
    n_iter: int


def graphical_lasso(
    S: np.ndarray, alpha: float, *, start: np.ndarray | None = None, tol: float = 1e-8, max_iter: int = 200
) -> SparsePrecision:
    """Precision matrix by penalised likelihood.

    Parameters
    ----------
    S : (q, q) array
        Covariance, with a positive diagonal.
    alpha : float
        λ, zero or more; at zero S must be positive definite.
    start : (q, q) array, optional
        A positive definite precision to start from. By default the inverse of S soft-thresholded by λ off its
        diagonal where that is positive definite: the solution for λ = 0 and for a diagonal Ω.
    tol : float
        The duality gap to reach, in units of the objective (twice the negative log-likelihood per row).
    max_iter : int
        Sweeps over the columns.

    Returns
    -------
    SparsePrecision
        Not converged if its gap is above `tol`.
    """
    S = np.ascontiguousarray(S, dtype=float)
    precision = _thresholded_inverse(S, alpha) if start is None else np.array(start, dtype=float, order="C")
    gap, n_iter = descend(S, float(alpha), precision, tol, max_iter)
    covariance = np.linalg.inv(precision)
    return SparsePrecision(precision, (covariance + covariance.T) / 2, gap, n_iter)


@njit(cache=True)
def descend(
    S: np.ndarray, alpha: float, precision: np.ndarray, tol: float, max_iter: int
) -> tuple[float, int]:
    """Sweep until the duality gap is at most tol, in place; the gap and the number of sweeps."""
    gap = graphical_gap(S, precision, alpha)
    n_iter = 0
    while gap > tol and n_iter < max_iter:
        _sweep(S, alpha, precision, np.linalg.inv(precision))
        gap = graphical_gap(S, precision, alpha)
        n_iter += 1
    return gap, n_iter


@njit(cache=True)
def graphical_objective(S: np.ndarray, precision: np.ndarray, alpha: float) -> float:
    """tr(SΩ) − log|Ω| + λ Σ_{i≠j} |ω_ij|, infinite where Ω is not positive definite."""
    trace, off_diagonal = 0.0, 0.0
    for i in range(len(S)):
        for j in range(len(S)):
            trace += S[i, j] * precision[i, j]
            if i != j:
                off_diagonal += abs(precision[i, j])
    return trace - log_det(precision) + alpha * off_diagonal


@njit(cache=True)
def graphical_gap(S: np.ndarray, precision: np.ndarray, alpha: float) -> float:
    """The duality gap of a precision matrix; infinite where the clipped inverse is not positive definite."""
    clipped = np.linalg.inv(precision)
    for i in range(len(S)):
        for j in range(len(S)):
            clipped[i, j] = min(max(clipped[i, j], S[i, j] - alpha), S[i, j] + alpha)
        clipped[i, i] = S[i, i]
    dual = log_det(clipped)
    if dual == -np.inf:
        return np.inf
    return graphical_objective(S, precision, alpha) - dual - len(S)


def largest_graphical_penalty(S: np.ndarray) -> float:
    """The least λ at which the precision is diagonal: the largest |s_ij| off the diagonal."""
    off_diagonal = np.abs(S - np.diag(np.diag(S)))
    return float(off_diagonal.max(initial=0.0))


@njit(cache=True)
def log_det(matrix: np.ndarray) -> float:
    """Log determinant of a symmetric matrix by Cholesky's factors; −∞ unless it is positive definite."""
    q, total = len(matrix), 0.0
    factor = np.zeros((q, q))
    for i in range(q):
        for j in range(i + 1):
            rest = matrix[i, j]
            for k in range(j):
                rest -= factor[i, k] * factor[j, k]
            if i > j:
                factor[i, j] = rest / factor[j, j]
            elif rest > 0.0:
                factor[i, i] = np.sqrt(rest)
                total += np.log(rest)
            else:
                return -np.inf
    return total


def _thresholded_inverse(S: np.ndarray, alpha: float) -> np.ndarray:
    thresholded = np.sign(S) * np.maximum(np.abs(S) - alpha, 0.0)
    np.fill_diagonal(thresholded, np.diag(S))
    if np.isfinite(log_det(thresholded)):
        return np.linalg.inv(thresholded)
    return np.diag(1 / np.diag(S))


@njit(cache=True)
def _sweep(S: np.ndarray, alpha: float, precision: np.ndarray, covariance: np.ndarray) -> None:
    """Minimise over each column in turn, in place; covariance is kept the inverse of precision."""
    q = len(S)
    inverse = np.empty((q, q))
    moved = np.empty(q)
    for j in range(q):
        # Ω₁₁⁻¹ by the block inverse, with row and column j left at zero.
        for a in range(q):
            for b in range(q):
                inverse[a, b] = covariance[a, b] - covariance[a, j] * covariance[j, b] / covariance[j, j]
        inverse[j, :] = 0.0
        inverse[:, j] = 0.0
        column = precision[:, j].copy()
        column[j] = 0.0
        product = inverse @ column
        for _ in range(_INNER):
            largest = 0.0
            for i in range(q):
                if i == j:
                    continue
                curvature = S[j, j] * inverse[i, i]
                pull = curvature * column[i] - S[j, j] * product[i] - S[i, j]
                new = np.sign(pull) * max(abs(pull) - alpha, 0.0) / curvature
                step = new - column[i]
                if step != 0.0:
                    column[i] = new
                    product += step * inverse[:, i]
                    largest = max(largest, step * step * curvature)
            if largest <= 1e-24:
                break
        precision[:, j] = column
        precision[j, :] = column
        precision[j, j] = 1.0 / S[j, j] + column @ product
        moved[:] = product
        moved[j] = -1.0
        for a in range(q):
            for b in range(q):
                covariance[a, b] = inverse[a, b] + S[j, j] * moved[a] * moved[b]
