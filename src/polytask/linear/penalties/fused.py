"""The fused lasso penalty across tasks: absolute coefficients, and absolute differences of linked tasks."""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import connected_components

from polytask.linear.estimators.task_graph import edges_of
from polytask.linear.penalties.base import Penalty, largest_ratio, numbered
from polytask.linear.penalties.total_variation import chain_prox, graph_prox

#: Steps of the dual norm's iteration, and the rounding error by which its result may fall short.
_STEPS, _ROUNDING = 100, 1e-12


class Fused(Penalty):
    """Σ_j f_j [μ Σ_t |b_tj| + Σ_{s<t} w_st |b_sj − b_tj|] (Tibshirani et al. 2005), for B ≥ 0 if asked.

    Parameters
    ----------
    sparsity : float
        μ, zero or more.
    weights : (q, q) array
        w, symmetric and zero or more.
    factors : (p,) array
        The f_j.
    positive : bool
        The penalty is then infinite unless B ≥ 0.
    """

    def __init__(
        self, sparsity: float, weights: np.ndarray, factors: np.ndarray, positive: bool = False
    ) -> None:
        self.sparsity, self.weights, self.positive = (
            sparsity,
            np.ascontiguousarray(weights, dtype=float),
            positive,
        )
        self.factors = np.asarray(factors, dtype=float)
        self._first, self._second, self._edges = edges_of(self.weights)
        self._neighbours = np.diagonal(self.weights, 1).copy()
        self._chain = bool(np.all(self._neighbours > 0)) and len(self._edges) == len(self._neighbours)

    def value(self, coef: np.ndarray) -> float:
        return float(self.factors @ self._per_feature(coef))

    def prox(self, coef: np.ndarray, step: float) -> np.ndarray:
        return self._prox(coef, step * self.factors)

    def polar(self, slope: np.ndarray) -> float | None:
        """The largest over features of max_b ⟨g, b⟩ / Ω(b), by Dinkelbach's iteration.

        The prox of g at strength α is the best b for ⟨g, b⟩ − ½‖b‖² − α Ω(b), and zero just if α is the dual norm
        or more. While it is not, its own ratio is a larger α that is still a lower bound (Dinkelbach 1967).
        """
        if self.positive and self._leaves_free():
            # Free coefficients can't move below zero, so their slope need not vanish.
            return None
        return largest_ratio(self.strengths_to_zero(slope), self.factors)

    def free_blocks(self, shape: tuple[int, int]) -> np.ndarray | None:
        if self.positive or not self._leaves_free():
            return None
        return self.common_blocks(shape)

    def common_blocks(self, shape: tuple[int, int]) -> np.ndarray:
        """(q, p) blocks at whose numbers alone the penalty is zero: linked tasks, or single ones where it is free."""
        n_tasks, n_features = shape
        linked = connected_components(self.weights)[1] if self.sparsity == 0 else np.full(n_tasks, -n_tasks)
        alone = n_tasks + np.arange(n_tasks)
        of_task = np.where(self.factors > 0, linked[:, None], alone[:, None])
        return numbered(np.where(of_task >= 0, of_task * n_features + np.arange(n_features), -1))

    def _leaves_free(self) -> bool:
        return self.sparsity == 0 or not np.all(self.factors > 0)

    def strengths_to_zero(self, slope: np.ndarray) -> np.ndarray:
        """(p,) the least strength of each feature's penalty at which the prox of its slope (q, p) is zero.

        Without sparsity, slopes must sum to zero over connected tasks.
        """
        strength = _ratio(slope, slope if not self.positive else np.maximum(slope, 0.0), self._per_feature)
        left = np.flatnonzero(strength > 0)
        for _ in range(_STEPS):
            best = self._prox(slope[:, left], strength[left] * (1 + _ROUNDING))
            moved = np.any(best != 0, axis=0)
            if not moved.any():
                break
            left, best = left[moved], best[:, moved]
            higher = _ratio(slope[:, left], best, self._per_feature)
            rises = higher > strength[left] * (1 + _ROUNDING)
            left, higher = left[rises], higher[rises]
            if len(left) == 0:
                break
            strength[left] = higher
        return strength * (1 + 2 * _ROUNDING)

    def _per_feature(self, coef: np.ndarray) -> np.ndarray:
        """(p,) the penalty of each feature, without its factor."""
        difference = np.abs(coef[self._first] - coef[self._second])
        return self.sparsity * np.abs(coef).sum(axis=0) + self._edges @ difference

    def _prox(self, coef: np.ndarray, strength: np.ndarray) -> np.ndarray:
        """Of the penalty times strength (p,).

        Thresholds keep the order of the coefficients and what is equal equal, so they come after the total
        variation (Friedman et al. 2007; Yu 2013).
        """
        fused = coef.copy()
        some = strength > 0
        if len(self._edges) and some.any():
            values = np.ascontiguousarray(coef[:, some])
            if self._chain:
                fused[:, some] = chain_prox(values, self._neighbours, strength[some])
            else:
                fused[:, some] = graph_prox(values, self.weights, strength[some])
        threshold = strength * self.sparsity
        if self.positive:
            return np.maximum(fused - threshold, 0.0)
        return np.sign(fused) * np.maximum(np.abs(fused) - threshold, 0.0)


def _ratio(slope: np.ndarray, coef: np.ndarray, penalty) -> np.ndarray:  # type: ignore[no-untyped-def]
    """(p,) ⟨g, b⟩ / Ω(b), zero where b is."""
    size = penalty(coef)
    return np.divide((slope * coef).sum(axis=0), size, out=np.zeros_like(size), where=size > 0)
