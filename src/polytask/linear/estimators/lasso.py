"""The lasso per task: the sparse baseline of tasks that do not share anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.linear.base import FixedPenaltyModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.descent import descends, newton_descent, takes_newton_steps, task_descent
from polytask.linear.estimators.proximal_model import ProximalModel
from polytask.linear.estimators.relaxation import check_relaxable, relax
from polytask.linear.grids import decreasing, default_eps, largest_lasso
from polytask.linear.paths import Solution
from polytask.linear.penalties.base import Penalty
from polytask.linear.penalties.l1 import L1
from polytask.linear.problem import Problem


@dataclass(eq=False, repr=False, kw_only=True)
class _Lasso(ProximalModel):
    """Σ w ℓ(y, xb) / Σ w + α‖b‖₁ in every task."""

    can: ClassVar[Capabilities] = Capabilities(losses=("squared", "logistic", "poisson"))
    penalty_per_task = True

    final_tol: ClassVar[float] = 1e-11

    relax: float = 1.0

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        check_relaxable(self, problem)
        if takes_newton_steps(problem):
            return newton_descent(problem, grid * _unit(problem), tol=self.tol, max_iter=self.max_iter)
        if not descends(problem):
            return super()._solve(problem, grid)
        # Dividing a task's objective by its weight is the same as multiplying its penalty.
        unit = _unit(problem)
        path = task_descent(problem, grid * unit, tol=self.tol, max_iter=self.max_iter)
        coef = path.coef if self.relax == 1 else relax(problem.moments, path.coef, self.relax)
        return Solution(coef, path.gap / unit, path.null / unit, path.n_iter)

    def _penalties_at(self, problem: Problem, point: np.ndarray, unit: float) -> list[Penalty]:
        return [L1(point * _unit(problem), problem.factors)]

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        return decreasing(largest_lasso(problem), n_points or 100, eps or default_eps(problem))


def _unit(problem: Problem) -> np.ndarray:
    """(q,) total weight of each task; 1 where a task has no label."""
    return np.where(problem.task_weight > 0, problem.task_weight, 1.0)


@dataclass(eq=False, repr=False, kw_only=True)
class TaskLasso(FixedPenaltyModel, _Lasso):
    """Lasso of each task on its own labels.

    Minimises ``Σ_i w_i (y_i − x_i·b − b0)² / (2 Σ_i w_i) + alpha ‖b‖₁`` per task, scikit-learn's `Lasso`
    where no label is missing (Tibshirani 1996).

    Parameters
    ----------
    alpha : float or (q,) array
        Penalty, of all tasks or of each; positive.
    relax : float in [0, 1]
        Weight of the penalised coefficients against least squares on the features they select: 1 is the
        plain model, 0 the relaxed lasso proper (Meinshausen 2007). `dual_gap_` is that of the penalised fit.
    loss, fit_intercept, standardize, penalty_factors, positive, warm_start, tol, max_iter
        As in `LinearTaskModel`.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    dual_gap_ : (q,) array, float for one-dimensional y
        Upper bound on how far each task's objective is from its minimum.
    n_iter_ : int
        Sweeps of the slowest task.
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    alpha: Any = field(default=1.0, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class TaskLassoCV(CrossValidatedModel, _Lasso):
    """Lasso of each task, with a penalty of its own chosen by cross-validation.

    The objective is that of `TaskLasso`. Errors on a fold are quadratic forms in its moments.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`. By default each task has its own 100 values from the least penalty at
        which all its coefficients are zero, to 0.001 of it, or 0.01 with fewer labels than features.
    relax, loss, fit_intercept, standardize, penalty_factors, positive, warm_start, tol, max_iter
        As in `TaskLasso`; `tol` is that of a fold's fit.

    Attributes
    ----------
    alpha_ : (q,) array, float for one-dimensional y
        The chosen penalties.
    alphas_ : (k, q) array, (k,) for one-dimensional y
        The penalties tried, decreasing.
    mse_path_ : (k, folds, q) array
        Mean squared errors; NaN where a fold tested no label of a task.
    coef_, intercept_, dual_gap_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `TaskLasso`.
    """
