"""Linear models with a concave penalty of the norms of rows."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from polytask.errors import SettingError
from polytask.linear.base import LinearTaskModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.descent import grams_serve
from polytask.linear.estimators.group_elastic_net import largest_row
from polytask.linear.grids import decreasing, default_eps
from polytask.linear.losses.gram import GramLoss
from polytask.linear.paths import Solution
from polytask.linear.penalties.concave import ConcavePenalty
from polytask.linear.problem import Problem
from polytask.linear.solvers.local_linear import Shortcut, local_linear_path
from polytask.linear.solvers.row_descent import RowDescent

#: Sweeps over the features per tangent problem, before gradient steps take over.
_SWEEPS = 1000


@dataclass(eq=False, repr=False, kw_only=True)
class ConcaveModel(LinearTaskModel):
    """Σ_t Σ w ℓ(y, xb_t) / m + Σ_j pen(‖B_j‖₂; α f_j, γ), m the mean weight of a task's labels."""

    can: ClassVar[Capabilities] = Capabilities(losses=("squared", "logistic", "poisson"))
    penalties: ClassVar[tuple[str, ...]] = ("alpha", "gamma")
    penalty_degree: ClassVar[int | None] = None
    #: The gamma above which a row of unit curvature has one minimum.
    least_gamma: ClassVar[float]

    @abstractmethod
    def _concave_at(self, alpha: float, gamma: float, factors: np.ndarray, scale: float) -> ConcavePenalty:
        """The penalty, multiplied by the scale."""

    def _check_penalties(self, name: str, values: Any) -> np.ndarray:
        numbers = np.atleast_1d(np.asarray(values, dtype=float))
        bad = ~(np.isfinite(numbers) & (numbers > self.least_gamma))
        if numbers.size == 0 or np.any(bad):
            shown = f"{numbers[bad].flat[0]:g}" if numbers.size else "none"
            raise SettingError(f"{name} must be a number above {self.least_gamma:g}; got {shown}.")
        return numbers

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        # Dividing the losses by m is the same as multiplying the penalty.
        unit = problem.mean_weight

        def penalty_at(point: np.ndarray) -> ConcavePenalty:
            return self._concave_at(float(point[0]), float(point[1]), problem.factors, unit)

        on_grams = grams_serve(problem)
        path = local_linear_path(
            GramLoss(problem.moments) if on_grams else problem.smooth, penalty_at, grid,
            positive=problem.positive, shortcut=_descent(problem) if on_grams else None,
            start=problem.start, tol=self.tol, max_iter=self.max_iter,
        )  # fmt: skip
        return Solution(
            path.coef, path.residual / unit, path.null / unit, path.n_iter, path.intercept,
            measure="optimality residual",
        )  # fmt: skip

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        return decreasing(largest_row(problem), n_points or 50, eps or default_eps(problem))


def _descent(problem: Problem) -> Shortcut:
    """Coordinate descent on Grams for the weighted group lasso."""
    descent = RowDescent(problem.moments, problem.positive)
    none = np.zeros(problem.n_features)

    def descend(
        weights: np.ndarray, start: np.ndarray, slope: np.ndarray, target: float
    ) -> tuple[np.ndarray, int]:
        return descent.run(start, slope, none, weights, target, _SWEEPS)

    return descend
