"""The penalty of task-relationship learning once the best task covariance is put in.

    R(C) = (ridge/2) ‖C‖_F² + (coupling/2) min_Ω tr(Cᵀ Ω⁻¹ C)  =  (ridge/2) ‖C‖_F² + (coupling/2) ‖C‖_*²

over Ω ⪰ 0 with tr Ω = 1 and range C ⊆ range Ω; the minimum is at Ω = (C Cᵀ)^{1/2} / tr (C Cᵀ)^{1/2}. The same value
is reached by a covariance of the features, (Cᵀ C)^{1/2} / tr (Cᵀ C)^{1/2} (Argyriou, Evgeniou & Pontil 2008).
C (q, p) has a row per task. All is a function of singular values.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class RelationshipPenalty(NamedTuple):
    """R(C) with ridge ≥ 0 and coupling > 0."""

    ridge: float
    coupling: float

    def value(self, values: np.ndarray) -> float:
        """R(C) from the singular values of C."""
        return float(self.ridge * values @ values + self.coupling * values.sum() ** 2) / 2

    def conjugate(self, values: np.ndarray) -> float:
        """R*(G) = max_C ⟨C, G⟩ − R(C) from the singular values of G, in decreasing order.

        R is homogeneous of degree two, so the maximum is half of ⟨C, G⟩ there.
        """
        if self.ridge == 0:
            return float(values.max(initial=0.0) ** 2) / (2 * self.coupling)
        return float(values @ self._shrink(values, self.ridge)) / 2

    def prox(self, coef: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """argmin_B R(B) + (step/2) ‖B − C‖_F² as its singular vectors and values U (q, m), σ (m,), Vᵀ (m, p).

        Only the m values that survive are returned.
        """
        left, values, right = np.linalg.svd(coef, full_matrices=False)
        values = self._shrink(step * values, step + self.ridge)
        kept = values > 0
        return left[:, kept], values[kept], right[kept]

    def variances(self, values: np.ndarray) -> np.ndarray:
        """Eigenvalues of (ridge I + coupling Ω⁻¹)⁻¹ where those of Ω are the singular values of C over their sum."""
        total = values.sum()
        return values / (self.ridge * values + self.coupling * total) if total > 0 else np.zeros_like(values)

    def prior(self, covariance: np.ndarray) -> np.ndarray:
        """S = (ridge I + coupling Ω⁻¹)⁻¹ of a task covariance Ω (q, q), zero outside its range unless coupling is."""
        if self.coupling == 0:
            return np.eye(len(covariance)) / self.ridge
        values, vectors = np.linalg.eigh(covariance)
        values = np.maximum(values, 0.0)
        return (vectors * (values / (self.ridge * values + self.coupling))) @ vectors.T

    def gap(self, coef: np.ndarray, slope: np.ndarray) -> float:
        """R(C) + R*(−∇L) − ⟨C, −∇L⟩: the duality gap of L + R at C, for any convex L with slope −∇L(C).

        R* is finite everywhere, so the slope (q, p) is a feasible dual point as it is.
        """
        size, dual_size = (np.linalg.svd(table, compute_uv=False) for table in (coef, slope))
        return max(self.value(size) + self.conjugate(dual_size) - float(np.vdot(coef, slope)), 0.0)

    def _shrink(self, values: np.ndarray, curvature: float) -> np.ndarray:
        """argmin_{σ ≥ 0} (curvature/2) Σ σ_i² − Σ s_i σ_i + (coupling/2) (Σ σ_i)², for s decreasing.

        σ_i = (s_i − coupling τ)₊ / curvature with τ = Σ σ_i = (s_1 + … + s_m) / (curvature + m coupling) when m
        values survive.
        """
        total = np.cumsum(values) / (curvature + self.coupling * np.arange(1, len(values) + 1))
        survivors = np.count_nonzero(values > self.coupling * total)
        if survivors == 0:
            return np.zeros_like(values)
        return np.maximum(values - self.coupling * total[survivors - 1], 0.0) / curvature


def task_covariance(coef: np.ndarray) -> np.ndarray:
    """Ω = (C Cᵀ)^{1/2} / tr (C Cᵀ)^{1/2} of coefficients C (q, p); I/q where all are zero."""
    left, values, _ = np.linalg.svd(coef, full_matrices=False)
    total = values.sum()
    return (left * (values / total)) @ left.T if total > 0 else np.eye(len(coef)) / len(coef)


def correlation(covariance: np.ndarray) -> np.ndarray:
    """Correlations of a covariance (q, q); 0 where a variance is zero, and 1 on the diagonal."""
    root = np.sqrt(np.maximum(covariance.diagonal(), 0.0))
    unit = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
    out = np.clip(covariance * np.outer(unit, unit), -1.0, 1.0)
    np.fill_diagonal(out, 1.0)
    return out
