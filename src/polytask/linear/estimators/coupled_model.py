"""Linear models whose penalty is a quadratic form that couples the tasks: ridge and what is built on it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from polytask.linear.base import LinearTaskModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.estimators.positive import positive_path
from polytask.linear.estimators.row_space import solve_in_row_space
from polytask.linear.losses.coupled import Coupled
from polytask.linear.losses.gram import GramLoss
from polytask.linear.losses.rows import RowLoss
from polytask.linear.paths import Solution
from polytask.linear.problem import Problem
from polytask.linear.solvers.coupled import one_gram_path
from polytask.linear.solvers.newton import newton_path
from polytask.linear.solvers.task_penalty import TaskPenalty

#: Relative gap of least squares by iteration.
_SYSTEM_TOL = 1e-15


@dataclass(eq=False, repr=False, kw_only=True)
class CoupledModel(LinearTaskModel):
    """Σ_t Σ_i w_i ℓ + ½ Σ_j f_j B_jᵀ M B_j, B_j the coefficients of feature j in all tasks, M given."""

    can: ClassVar[Capabilities] = Capabilities(losses=("squared", "logistic", "poisson"))
    penalty_degree = 2

    @abstractmethod
    def _task_penalties(self, problem: Problem, grid: np.ndarray) -> Sequence[TaskPenalty]:
        """M at each grid point."""

    def _closed_form(self, problem: Problem, grid: np.ndarray) -> np.ndarray | None:
        """Least-squares coefficients (k, q, p) of a problem without constraints, where the model has a formula."""
        moments = problem.moments
        if len(moments.gram) > 1:
            return None
        return one_gram_path(moments.gram[0], moments.xty, self._task_penalties(problem, grid))

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        if problem.positive:
            penalties = self._task_penalties(problem, grid)
            losses = [Coupled(problem.smooth, penalty.matrix, problem.factors) for penalty in penalties]
            shared = [bool(np.isinf(penalty.values).any()) for penalty in penalties]
            return positive_path(problem, losses, self.tol, self.max_iter, shared)
        return solve_in_row_space(problem, lambda smaller: self._solve_free(smaller, grid))

    def _solve_free(self, problem: Problem, grid: np.ndarray) -> Solution:
        """Without constraints on the coefficients."""
        if problem.loss == "squared":
            coef = self._closed_form(problem, grid)
            if coef is not None:
                return Solution(coef)
        loss = problem.smooth
        assert isinstance(loss, (GramLoss, RowLoss))
        # Linear systems are solved as closed forms are: to all digits that matter.
        tol = min(self.tol, _SYSTEM_TOL) if problem.loss == "squared" else self.tol
        path = newton_path(
            loss, self._task_penalties(problem, grid), problem.factors,
            start=problem.start, tol=tol, max_iter=self.max_iter,
        )  # fmt: skip
        measure = "Newton decrement" if path.by_decrement else "duality gap"
        intercept = None if problem.loss == "squared" else path.intercept
        # The objective of squared loss is documented without its half.
        unit = 2.0 if problem.loss == "squared" else 1.0
        return Solution(path.coef, unit * path.gap, unit * loss.null, path.n_iter, intercept, measure=measure)
