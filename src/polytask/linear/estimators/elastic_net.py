"""The elastic net per task: the sparse baseline for correlated features, sharing nothing between tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.errors import SettingError
from polytask.linear.base import FixedPenaltyModel, LinearTaskModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.descent import descends, newton_descent, takes_newton_steps, task_descent
from polytask.linear.grids import decreasing, default_eps, largest_lasso
from polytask.linear.paths import Solution
from polytask.linear.penalties.base import NonNegative, Penalty
from polytask.linear.penalties.l1 import L1
from polytask.linear.problem import Problem
from polytask.linear.solvers.elastic_net import elastic_net_path


@dataclass(eq=False, repr=False, kw_only=True)
class _ElasticNet(LinearTaskModel):
    """Σ w ℓ(y, xb) / Σ w + α r ‖b‖₁ + ½ α (1 − r) ‖b‖² in every task."""

    can: ClassVar[Capabilities] = Capabilities(losses=("squared", "logistic", "poisson"))
    penalty_per_task: ClassVar[bool] = True
    penalty_degree: ClassVar[int | None] = None

    l1_ratio: float = 0.5

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        r = float(check_l1_ratios(self.l1_ratio))
        # Dividing a task's objective by its weight is the same as multiplying its penalty.
        weight = np.where(problem.task_weight > 0, problem.task_weight, 1.0)
        norms, ridges = grid * weight * r, grid * weight * (1 - r)
        if takes_newton_steps(problem):
            return newton_descent(problem, norms, ridges, tol=self.tol, max_iter=self.max_iter)
        if not descends(problem):
            return self._solve_by_steps(problem, grid * weight, r)
        path = task_descent(problem, norms, ridges, tol=self.tol, max_iter=self.max_iter)
        return Solution(path.coef, path.gap / weight, path.null / weight, path.n_iter)

    def _solve_by_steps(self, problem: Problem, strengths: np.ndarray, r: float) -> Solution:
        def penalty_at(point: np.ndarray) -> Penalty:
            plain = L1(point * r, problem.factors)
            return NonNegative(plain) if problem.positive else plain

        return elastic_net_path(
            problem.smooth, penalty_at, lambda point: np.multiply.outer(point * (1 - r), problem.factors),
            strengths, problem.mean_weight, start=problem.start, tol=self.tol, max_iter=self.max_iter,
        )  # fmt: skip

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        return decreasing(
            largest_lasso(problem) / check_l1_ratios(self.l1_ratio),
            n_points or 100,
            eps or default_eps(problem),
        )


def check_l1_ratios(values: Any, name: str = "l1_ratio") -> np.ndarray:
    """Shares of the lasso in an elastic net, above 0 and at most 1."""
    numbers = np.asarray(values, dtype=float)
    bad = ~((numbers > 0) & (numbers <= 1))
    if numbers.size == 0 or np.any(bad):
        shown = f"{numbers[bad].flat[0]:g}" if numbers.size else "none"
        raise SettingError(
            f"{name} must be above 0 (for a ridge penalty alone use TaskRidge) and at most 1; got {shown}."
        )
    return numbers


@dataclass(eq=False, repr=False, kw_only=True)
class TaskElasticNet(FixedPenaltyModel, _ElasticNet):
    """Elastic net of each task on its own labels.

    Minimises ``Σ_i w_i ℓ(y_i, x_i·b + b0) / Σ_i w_i + alpha l1_ratio ‖b‖₁ + ½ alpha (1 − l1_ratio) ‖b‖²`` per task,
    scikit-learn's `ElasticNet` where no label is missing (Zou & Hastie 2005).

    Parameters
    ----------
    alpha : float or (q,) array
        Penalty, of all tasks or of each; positive.
    l1_ratio : float in (0, 1]
        1 is `TaskLasso`; less of it keeps correlated features together.
    penalty_factors : (p,) array, optional
        Multiplies both parts of the penalty of each feature; 0 leaves it unpenalised.
    loss, fit_intercept, standardize, scale_targets, positive, warm_start, tol, max_iter
        As in `LinearTaskModel`.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    dual_gap_ : (q,) array, float for one-dimensional y
        Upper bound on how far each task's objective is from its minimum. One number, of the sum over tasks over
        their mean weight, where the loss is not squared; then, with unpenalised
        features, `residual_`, an optimality residual.
    n_iter_ : int
        Sweeps of the slowest task, or proximal gradient steps.
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    alpha: Any = field(default=1.0, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class TaskElasticNetCV(CrossValidatedModel, _ElasticNet):
    """Elastic net of each task, with a penalty of its own chosen by cross-validation.

    The objective is that of `TaskElasticNet`. Errors on a fold are quadratic forms in its moments.

    Parameters
    ----------
    l1_ratio : float in (0, 1]
        The same for all tasks.
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`. By default each task has its own 100 values from the least penalty at
        which all its coefficients are zero, to 0.001 of it, or 0.01 with fewer labels than features.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `TaskElasticNet`; `tol` is that of a fold's fit.

    Attributes
    ----------
    alpha_ : (q,) array, float for one-dimensional y
        The chosen penalties.
    alphas_ : (k, q) array, (k,) for one-dimensional y
        The penalties tried, decreasing.
    mse_path_ : (k, folds, q) array
        Mean squared errors (`deviance_path_` for other losses); NaN where a fold tested no label of a task.
    coef_, intercept_, dual_gap_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `TaskElasticNet`.
    """
