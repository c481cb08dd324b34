"""A loss with a quadratic penalty that couples the tasks added to it."""

from __future__ import annotations

import numpy as np

from polytask.linear.losses.base import SmoothLoss
from polytask.linear.losses.penalised import Penalised


class Coupled(Penalised):
    """f(B) + ½ Σ_j f_j B_jᵀ M B_j, B_j (q,) the coefficients of feature j in all tasks.

    The same as f with rows √(f_j) M^{1/2} B_j added that have targets of zero, which gives the dual.

    Parameters
    ----------
    loss : SmoothLoss
    task_matrix : (q, q) array
        M, symmetric and positive semidefinite.
    factors : (p,) array
        The f_j, zero or more.
    """

    def __init__(self, loss: SmoothLoss, task_matrix: np.ndarray, factors: np.ndarray) -> None:
        self.task_matrix, self.factors = np.asarray(task_matrix, dtype=float), factors
        largest = float(np.linalg.eigvalsh(self.task_matrix)[-1])
        super().__init__(loss, largest * float(np.max(factors, initial=0.0)))

    def penalty(self, coef: np.ndarray) -> tuple[float, np.ndarray]:
        gradient = self.task_matrix @ coef * self.factors
        return float(np.vdot(coef, gradient)) / 2, gradient

    def dual(self, coef: np.ndarray, scale: float) -> float:
        return self.loss.dual(coef, scale) - scale * scale * self.penalty(coef)[0]
