"""Linear models whose penalty is given by its proximal map: any loss, any sum of components."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from polytask.linear.base import LinearTaskModel
from polytask.linear.paths import Solution
from polytask.linear.penalties.base import NonNegative, Penalty
from polytask.linear.problem import Problem
from polytask.linear.solvers.proximal import proximal_path


@dataclass(eq=False, repr=False, kw_only=True)
class ProximalModel(LinearTaskModel):
    """Σ_t Σ_i w_i ℓ / m + Σ_c Ω_c(W_c) with coefficients Σ_c W_c, m the mean weight of a task's labels."""

    #: Further digits take proximal steps as many iterations as the first ones.
    final_tol: ClassVar[float] = 1e-8

    @abstractmethod
    def _penalties_at(self, problem: Problem, point: np.ndarray, unit: float) -> Sequence[Penalty]:
        """The penalties Ω_c of a grid point, their strengths multiplied by `unit`."""

    def _learned(self, problem: Problem, components: np.ndarray) -> dict[str, np.ndarray]:
        """What the components (k, C, q, p) tell besides the coefficients."""
        return {}

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        # Dividing the losses by m is the same as multiplying the penalty.
        unit = problem.mean_weight

        def penalties_at(point: np.ndarray) -> Sequence[Penalty]:
            plain = self._penalties_at(problem, point, unit)
            return [NonNegative(penalty) for penalty in plain] if problem.positive else plain

        path = proximal_path(
            problem.smooth, penalties_at, grid, start=problem.start, tol=self.tol, max_iter=self.max_iter
        )
        return Solution(
            coef=path.components.sum(axis=1),
            gap=path.gap / unit,
            null=path.null / unit,
            n_iter=path.n_iter,
            intercept=path.intercept,
            learned=self._learned(problem, path.components),
            measure="optimality residual" if path.by_residual else "duality gap",
        )
