"""Models that split the coefficients into two components, each with a penalty of its own."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from polytask.linear.estimators.proximal_model import ProximalModel
from polytask.linear.grids import decreasing, default_eps, largest_penalty
from polytask.linear.moments import Moments
from polytask.linear.paths import CoefPath
from polytask.linear.penalties.base import Penalty
from polytask.linear.penalty import check_factors, shares
from polytask.linear.problem import Problem
from polytask.linear.table import LabelledTable


@dataclass(eq=False, repr=False, kw_only=True)
class DecomposedModel(ProximalModel):
    """Σ_t Σ_i w_i ℓ / m + Ω₁(U) + Ω₂(V) with coefficients U + V, on a grid of (alpha, share of V).

    The sum is what the objective determines; the split need not be unique.
    """

    #: The names of U and V as attributes, without the underscore.
    parts: ClassVar[tuple[str, str]]
    #: What shares of 0 and of 1 mean.
    ends: ClassVar[str]

    @abstractmethod
    def _ratio(self, n_tasks: int, n_features: int, share: float) -> float:
        """The strength of Ω₂ for a strength of 1 of Ω₁.

        The shares of 0 and 1 are the ratios from which on V, or U, lowers the objective for no data.
        """

    @abstractmethod
    def _pair(self, first: float, second: float, factors: np.ndarray) -> list[Penalty]:
        """Ω₁ and Ω₂ of these strengths."""

    def _findings(self, problem: Problem, components: np.ndarray) -> dict[str, np.ndarray]:
        """What the components (k, 2, q, penalised features) of the scaled problem tell."""
        return {}

    def _penalties_at(self, problem: Problem, point: np.ndarray, unit: float) -> list[Penalty]:
        alpha = float(point[0]) * unit
        return self._pair(alpha, alpha * self._ratio_of(problem, float(point[1])), problem.factors)

    def _ratio_of(self, problem: Problem, share: float) -> float:
        return self._ratio(problem.n_tasks, max(int((problem.factors > 0).sum()), 1), share)

    def _check_penalties(self, name: str, values: Any) -> np.ndarray:
        return shares(values, name, self.ends)

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        (share,) = others.values()
        both = self._pair(1.0, self._ratio_of(problem, share), np.ones_like(problem.factors))
        largest = largest_penalty(problem, lambda slope: max(p.dual_norm(slope) or 0.0 for p in both))
        return decreasing(largest, n_points or 20, eps or default_eps(problem))

    def _learned(self, problem: Problem, components: np.ndarray) -> dict[str, np.ndarray]:
        found = self._findings(problem, components[..., problem.factors > 0])
        return {self.parts[0]: components[:, 0], self.parts[1]: components[:, 1], **found}

    def _learned_in_units(
        self, learned: dict[str, np.ndarray], unit: np.ndarray, y_scale: np.ndarray
    ) -> dict[str, np.ndarray]:
        return {**learned, **{part: learned[part] * unit for part in self.parts}}

    def coef_path(self, data: Moments | LabelledTable, grid: np.ndarray) -> CoefPath:
        """Coefficients at every grid point, without fitting this estimator.

        Parameters
        ----------
        data : Moments or LabelledTable
        grid : (k, 2) array
            As `default_grid` returns it.
        """
        path = super().coef_path(data, grid)
        penalised = check_factors(self.penalty_factors, data.n_features) > 0
        first, second = (self._all_features(path.learned[part], penalised) for part in self.parts)
        # An unpenalised feature tells nothing of how to split it: it is all in the first component.
        first[..., ~penalised] = path.coef[..., ~penalised]
        return replace(path, learned={**path.learned, self.parts[0]: first, self.parts[1]: second})

    @staticmethod
    def _all_features(part: np.ndarray, penalised: np.ndarray) -> np.ndarray:
        """A component with zeros for unpenalised features, which some solvers never see."""
        out = np.zeros((*part.shape[:-1], len(penalised)))
        out[..., penalised] = part if part.shape[-1] == penalised.sum() else part[..., penalised]
        return out


def tasks_with_coefficients(problem: Problem, component: np.ndarray) -> np.ndarray:
    """(k,) tuples of the names of the tasks with any coefficient that is not zero in (k, q, p)."""
    found = np.empty(len(component), dtype=object)
    for k, table in enumerate(component):
        found[k] = tuple(name for name, row in zip(problem.task_names, table) if row.any())
    return found
