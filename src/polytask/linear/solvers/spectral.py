"""Ridge-type closed forms: one eigendecomposition per Gram serves every penalty."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Spectrum(NamedTuple):
    """Eigenvalues (P, p), exactly zero where numerically null, and eigenvectors (P, p, p) in columns."""

    values: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, gram: np.ndarray) -> Spectrum:
        """Decompose a stack (P, p, p) of positive semidefinite matrices."""
        values, vectors = np.linalg.eigh(gram)
        # A pseudo-inverse must not divide by what is only rounding error.
        cutoff = values[:, -1:] * gram.shape[-1] * np.finfo(float).eps
        return cls(np.where(values > cutoff, values, 0.0), vectors)


def ridge_path(spectrum: Spectrum, pattern: np.ndarray, xty: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """argmin_b Σ w (y − xb)² + α‖b‖² for every task and penalty; the least-norm solution at α = 0.

    Parameters
    ----------
    spectrum : Spectrum
        Of the P Grams.
    pattern : (q,) int array
        The Gram of each task.
    xty : (q, p) array
    alphas : (k, q) array
        Non-negative penalties of each task.

    Returns
    -------
    (k, q, p) array
    """
    coef = np.empty((len(alphas), *xty.shape))
    for index in range(len(spectrum.values)):
        tasks = np.flatnonzero(pattern == index)
        values, vectors = spectrum.values[index], spectrum.vectors[index]
        rotated = xty[tasks] @ vectors
        damped = alphas[:, tasks, None] + values
        scaled = np.divide(rotated, damped, out=np.zeros_like(damped), where=damped > 0)
        # A null direction carries no signal: what rotated holds there is rounding error.
        coef[:, tasks] = np.where(values > 0, scaled, 0.0) @ vectors.T
    return coef
