"""Closed form of mean-regularized least squares (Evgeniou & Pontil 2004) for own Grams G_t.

    min_a  Σ_t [ a_tᵀ G_t a_t − 2 c_tᵀ a_t ]  +  λ₁ ‖ā‖²  +  (λ₂/T) Σ_t ‖a_t − ā‖²

With κ = λ₂/T and h = λ₁/T, stationarity is (G_t + κI) a_t = c_t + (κ − h) ā, and averaging it over the tasks
leaves p equations in ā:

    [h I + (κ − h) mean_t G_t (G_t + κI)⁻¹] ā = mean_t κ (G_t + κI)⁻¹ c_t

in which nothing cancels, however large κ is. All in the eigenbases of the Grams.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from polytask.linear.solvers.spectral import Spectrum, ridge_path


def mean_regularized_path(
    gram: np.ndarray, pattern: np.ndarray, xty: np.ndarray, grid: np.ndarray
) -> np.ndarray:
    """Coefficients for each pair of penalties.

    Parameters
    ----------
    gram : (P, p, p) array
    pattern : (q,) int array
        The Gram of each task.
    xty : (q, p) array
        The c_t.
    grid : (k, 2) array
        Rows (h, κ) with 0 ≤ h ≤ κ; κ may be infinite: all tasks then share one vector.

    Returns
    -------
    (k, q, p) array
    """
    spectrum, n_tasks = Spectrum.of(gram), len(xty)
    tasks_per_gram = np.bincount(pattern, minlength=len(gram))
    pooled = Spectrum.of(np.tensordot(tasks_per_gram, gram, axes=1)[None])
    # One Gram for all tasks is broadcast, never copied.
    basis = spectrum.vectors if len(gram) == 1 else spectrum.vectors[pattern]
    rotated = _times(basis.transpose(0, 2, 1), xty)
    coef = np.empty((len(grid), *xty.shape))
    for index, (h, kappa) in enumerate(grid):
        if np.isinf(kappa):
            total, alpha = xty.sum(axis=0, keepdims=True), np.full((1, 1), h * n_tasks)
            coef[index] = ridge_path(pooled, np.zeros(1, dtype=np.int64), total, alpha)[0]
        elif h == kappa:
            coef[index] = ridge_path(spectrum, pattern, xty, np.full((1, n_tasks), kappa))[0]
        else:
            damped = spectrum.values[pattern] + kappa
            right = _times(basis, kappa / damped * rotated).mean(axis=0)
            mean = _mean_vector(spectrum, tasks_per_gram / n_tasks, right, h, kappa)
            pulled = rotated + (kappa - h) * _times(basis.transpose(0, 2, 1), mean[None])
            coef[index] = _times(basis, pulled / damped)
    return coef


def _times(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Matrix times vector, (m, p, p) and (n, p) -> (max(m, n), p), where m or n may be 1."""
    return (matrices @ vectors[:, :, None])[:, :, 0]


def _mean_vector(
    spectrum: Spectrum, share_of_tasks: np.ndarray, right: np.ndarray, h: float, kappa: float
) -> np.ndarray:
    """Solve the p equations in ā for 0 < h < κ < ∞; share_of_tasks (P,) is each Gram's."""
    values, vectors = spectrum
    weight = values / (values + kappa) * share_of_tasks[:, None]
    if len(values) == 1:
        return vectors[0] @ ((vectors[0].T @ right) / (h + (kappa - h) * weight[0]))
    # Null directions drop out: tasks with few rows add few columns.
    columns = (vectors * np.sqrt(weight)[:, None, :]).transpose(0, 2, 1)[values > 0]
    matrix = (kappa - h) * (columns.T @ columns)
    matrix[np.diag_indices(len(right))] += h
    return linalg.solve(matrix, right, assume_a="pos")
