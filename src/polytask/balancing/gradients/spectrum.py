"""Gramians that are singular: spectra without noise, and correlations of gradients."""

from __future__ import annotations

import numpy as np

#: Eigenvalues of correlations below this, times their number, count as zero: what rounding leaves of them where
#: gradients are float32.
ROUNDING = float(np.finfo(np.float32).eps)


def spectrum(gramian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The r nonzero eigenvalues (r,), increasing, and their eigenvectors (m, r).

    The rank r is that of the correlations: a gradient that is much shorter than the others still counts.
    """
    values, vectors = np.linalg.eigh(gramian)
    correlations = norms_and_correlations(gramian)[1]
    rank = int((np.linalg.eigvalsh(correlations) > len(values) * ROUNDING).sum())
    first = len(values) - rank
    # Beyond 16 digits even the shorter gradient is rounding.
    first += int((values[first:] <= len(values) * np.finfo(np.float64).eps * values[-1]).sum())
    return values[first:], vectors[:, first:]


def norms_and_correlations(gramian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``‖g_t‖``, shape (m,), and ``⟨u_s, u_t⟩`` of the unit gradients, shape (m, m)."""
    norms = np.sqrt(np.diag(gramian))
    return norms, gramian / np.outer(norms, norms)


def equal_projections(correlations: np.ndarray) -> np.ndarray:
    """β of shape (m,) with ``⟨u_t, Σ_s β_s u_s⟩ = 1`` for all t: by the pseudo-inverse, ``R⁺1``.

    Where no direction has equal projections it is the least-squares one; zero where tasks oppose each other.
    """
    values, vectors = np.linalg.eigh(correlations)
    nonzero = values > len(values) * ROUNDING
    values, vectors = values[nonzero], vectors[:, nonzero]
    return vectors @ (vectors.sum(0) / values)
