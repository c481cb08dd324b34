"""A group per task: L2 norms of each task's coefficients, for tasks that differ from all others."""

from __future__ import annotations

import numpy as np

from polytask.linear.penalties.base import Penalty, blocks_alone


class TaskGroup(Penalty):
    """α Σ_t ‖b_t ∘ f‖₂ over the features whose factor f is not zero, b_t the coefficients of task t.

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
                "A group per task takes one factor for all penalised features; scale them instead."
            )

    def value(self, coef: np.ndarray) -> float:
        return self.alpha * float(self._norms(coef).sum())

    def prox(self, coef: np.ndarray, step: float) -> np.ndarray:
        cut = step * self.alpha
        # 1 − cut / norm, or zero where the norm is no more than the cut.
        norms = np.maximum(self._norms(coef), cut)
        shrink = ((norms - cut) / np.where(norms > 0, norms, 1.0))[:, None]
        return coef * shrink if self._all else np.where(self.penalised, coef * shrink, coef)

    def polar(self, slope: np.ndarray) -> float | None:
        return float(self._norms(slope).max(initial=0.0) / self.alpha) if self.alpha > 0 else None

    def free_blocks(self, shape: tuple[int, int]) -> np.ndarray | None:
        return blocks_alone(~self.penalised, shape)

    def _norms(self, coef: np.ndarray) -> np.ndarray:
        held = coef if self._all else coef[:, self.penalised]
        return np.sqrt(np.einsum("tj,tj->t", held, held))
