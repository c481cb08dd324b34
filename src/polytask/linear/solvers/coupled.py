"""Least squares with a quadratic penalty that couples the tasks, in closed form where all tasks share one Gram.

    min_B  Σ_t [½ b_tᵀ G b_t − c_tᵀ b_t]  +  ½ Σ_j B_jᵀ M B_j

has the stationarity B G + M B = C, a Sylvester equation. With G = V diag(g) Vᵀ and M = W diag(m) Wᵀ it is solved by
B = W [(Wᵀ C V)_ij / (m_i + g_j)] Vᵀ (Bartels & Stewart 1972, for symmetric matrices).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polytask.linear.solvers.spectral import Spectrum
from polytask.linear.solvers.task_penalty import TaskPenalty


def one_gram_path(gram: np.ndarray, xty: np.ndarray, penalties: Sequence[TaskPenalty]) -> np.ndarray:
    """Coefficients (k, q, p) for each penalty, those of least norm where there is none.

    Parameters
    ----------
    gram : (p, p) array
    xty : (q, p) array
    penalties : sequence of k TaskPenalty
    """
    values, vectors = (part[0] for part in Spectrum.of(gram[None]))
    rotated = xty @ vectors
    return np.stack([solve_rotated(values, rotated, penalty) for penalty in penalties]) @ vectors.T


def solve_rotated(values: np.ndarray, rotated: np.ndarray, penalty: TaskPenalty) -> np.ndarray:
    """B V (q, p) from the eigenvalues g (p,) and C V (q, p)."""
    signal = penalty.vectors.T @ rotated
    damped = penalty.values[:, None] + values
    # A null direction of the Gram carries no signal: what `rotated` holds there is rounding error.
    return penalty.vectors @ np.where(values > 0, signal / np.where(damped > 0, damped, 1.0), 0.0)
