"""A quadratic penalty on the coefficients of one feature in all tasks, by its eigenvalues."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class TaskPenalty(NamedTuple):
    """½ Σ_j B_jᵀ M B_j with M = W diag(m) Wᵀ.

    Attributes
    ----------
    values : (q,) array
        The eigenvalues m from 0 to ∞; an infinite one forbids its direction.
    vectors : (q, q) array
        W, orthonormal in its columns.
    """

    values: np.ndarray
    vectors: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        """(q, q) M without its infinite part."""
        return (self.vectors * np.where(np.isinf(self.values), 0.0, self.values)) @ self.vectors.T

    def value(self, coef: np.ndarray) -> float:
        """The penalty of coefficients (q, p) that have no part in forbidden directions."""
        finite = np.isfinite(self.values)
        return float(self.values[finite] @ ((self.vectors.T @ coef)[finite] ** 2).sum(axis=1)) / 2


def mean_vectors(n_tasks: int) -> np.ndarray:
    """(q, q) orthonormal columns, the first constant: the mean of the tasks, then what deviates from it."""
    vectors = np.zeros((n_tasks, n_tasks))
    vectors[:, 0] = 1 / np.sqrt(n_tasks)
    for k in range(1, n_tasks):
        vectors[:k, k], vectors[k, k] = 1.0, -k
        vectors[:, k] /= np.sqrt(k * (k + 1))
    return vectors
