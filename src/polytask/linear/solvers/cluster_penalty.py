"""The convex relaxation of clustered multi-task learning, once the best cluster matrix is put in.

    R(B) = (α/2) (1 + γ) min_M tr(Bᵀ (I + γM)⁻¹ B)   over   tr M = k,  0 ⪯ M ⪯ I

B (q, p) has a row per task. With M a projection on the indicators of k clusters, this is a ridge penalty α on the
clusters' means and α (1 + γ) on what deviates from them. M may be any convex combination of such projections and
more. The best one has the left singular vectors of B; R is a function of the singular values alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import qr

from polytask.linear.solvers.task_penalty import TaskPenalty


class ClusterPenalty(NamedTuple):
    """R(B) with α > 0, γ ≥ 0 and 1 ≤ k ≤ q clusters."""

    alpha: float
    strength: float
    n_clusters: int

    def value(self, coef: np.ndarray) -> float:
        """R(B)."""
        return self.best(coef).value(coef)

    def conjugate(self, slope: np.ndarray) -> float:
        """R*(G) = max_B ⟨B, G⟩ − R(B) = [‖G‖² + γ (σ_1² + … + σ_k²)] / (2 α (1 + γ)), σ the singular values of G.

        The maximum over M of tr(Gᵀ M G) is a sum of leading eigenvalues (Fan 1949).
        """
        squares = np.linalg.eigvalsh(slope @ slope.T)[::-1]
        leading = squares[: self.n_clusters].sum()
        return float(squares.sum() + self.strength * leading) / (2 * self.alpha * (1 + self.strength))

    def gap(self, coef: np.ndarray, slope: np.ndarray) -> float:
        """R(B) + R*(−∇f) − ⟨B, −∇f⟩: the duality gap of f + R at B for any convex f, R* being finite everywhere."""
        return max(self.value(coef) + self.conjugate(slope) - float(np.vdot(coef, slope)), 0.0)

    def best(self, coef: np.ndarray) -> TaskPenalty:
        """The quadratic penalty ½ tr(Bᵀ P B), P = α (1 + γ) (I + γM)⁻¹, of the best M for B."""
        squares, vectors = np.linalg.eigh(coef @ coef.T)
        levels = cluster_levels(np.sqrt(np.maximum(squares, 0.0)), self.strength, self.n_clusters)
        return TaskPenalty(self.alpha * (1 + self.strength) / (1 + self.strength * levels), vectors)

    def cluster_matrix(self, coef: np.ndarray) -> np.ndarray:
        """(q, q) the best M for B."""
        squares, vectors = np.linalg.eigh(coef @ coef.T)
        levels = cluster_levels(np.sqrt(np.maximum(squares, 0.0)), self.strength, self.n_clusters)
        return (vectors * levels) @ vectors.T


def cluster_levels(values: np.ndarray, strength: float, n_clusters: int) -> np.ndarray:
    """argmin_m Σ σ_i² / (1 + γ m_i) over Σ m_i = k, 0 ≤ m_i ≤ 1, for singular values σ (q,).

    m_i = (c σ_i − 1)/γ cut to [0, 1]; their sum is piecewise linear in c, whose breakpoints are known.
    """
    present = values > 1e-12 * values.max(initial=0.0)
    levels = present.astype(float)
    n_present = int(present.sum())
    if n_present <= n_clusters:
        # What is left of the trace may go anywhere.
        if n_present < len(values):
            levels[~present] = (n_clusters - n_present) / (len(values) - n_present)
        return levels
    if strength == 0:
        return np.full(len(values), n_clusters / len(values))
    kept = values[present]

    def cut(c: np.ndarray) -> np.ndarray:
        return np.clip((np.multiply.outer(c, kept) - 1) / strength, 0.0, 1.0)

    breaks = np.sort(np.concatenate([1 / kept, (1 + strength) / kept]))
    sums = cut(breaks).sum(axis=1)
    at = int(np.searchsorted(sums, n_clusters))
    low, high = sums[at - 1], sums[at]
    c = breaks[at - 1] + (n_clusters - low) / (high - low) * (breaks[at] - breaks[at - 1])
    levels[present] = cut(np.array([c]))[0]
    return levels


def cluster_labels(coef: np.ndarray, n_clusters: int) -> np.ndarray:
    """(q,) the cluster of each task, numbered as they first appear, from the leading left singular vectors of B.

    Rows of the vectors are alike within a cluster and orthogonal between clusters, up to a rotation that pivoted QR
    finds (Damle, Minden & Ying 2019, "Simple, direct and efficient multi-way spectral clustering").
    """
    vectors = np.linalg.eigh(coef @ coef.T)[1][:, ::-1][:, :n_clusters]
    pivots = qr(vectors.T, mode="r", pivoting=True)[1][:n_clusters]
    left, _, right = np.linalg.svd(vectors[pivots].T)
    nearest = np.abs(vectors @ left @ right).argmax(axis=1)
    _, first, labels = np.unique(nearest, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[labels]
