"""The multi-task elastic net: correlated features are shared by all tasks together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.linear.base import FixedPenaltyModel, LinearTaskModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.descent import descends, group_descent, newton_descent, takes_newton_steps
from polytask.linear.estimators.elastic_net import check_l1_ratios
from polytask.linear.grids import decreasing, default_eps, largest_penalty
from polytask.linear.paths import Solution
from polytask.linear.penalties.base import NonNegative, Penalty
from polytask.linear.penalties.group import Group
from polytask.linear.problem import Problem
from polytask.linear.solvers.elastic_net import elastic_net_path


@dataclass(eq=False, repr=False, kw_only=True)
class _GroupElasticNet(LinearTaskModel):
    """Σ_t Σ w ℓ(y, xb_t) / m + α Σ_j [r ‖B_j‖₂ + ½ (1 − r) ‖B_j‖²], m the mean weight of a task's labels."""

    can: ClassVar[Capabilities] = Capabilities(losses=("squared", "logistic", "poisson"))
    penalties: ClassVar[tuple[str, ...]] = ("alpha", "l1_ratio")
    tries: ClassVar[dict[str, tuple[float, ...]]] = {"l1_ratio": (0.5,)}
    penalty_degree: ClassVar[int | None] = None

    def _check_penalties(self, name: str, values: Any) -> np.ndarray:
        return np.atleast_1d(check_l1_ratios(values, name))

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        # Dividing the losses by m is the same as multiplying the penalty.
        unit = problem.mean_weight
        norm, ridge = unit * grid.prod(axis=1), unit * grid[:, 0] * (1 - grid[:, 1])
        if takes_newton_steps(problem):
            return newton_descent(problem, norm, ridge, tol=self.tol, max_iter=self.max_iter)
        if not descends(problem):
            return self._solve_by_steps(problem, np.column_stack([norm, ridge]))
        path = group_descent(problem, norm, ridge, tol=self.tol, max_iter=self.max_iter)
        return Solution(path.coef, path.gap / unit, np.asarray(path.null) / unit, path.n_iter)

    def _solve_by_steps(self, problem: Problem, strengths: np.ndarray) -> Solution:
        def penalty_at(point: np.ndarray) -> Penalty:
            plain = Group(float(point[0]), problem.factors)
            return NonNegative(plain) if problem.positive else plain

        return elastic_net_path(
            problem.smooth, penalty_at, lambda point: point[1] * problem.factors, strengths,
            problem.mean_weight, start=problem.start, tol=self.tol, max_iter=self.max_iter,
        )  # fmt: skip

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        largest = largest_row(problem) / others["l1_ratio"]
        return decreasing(largest, n_points or 100, eps or default_eps(problem))


def largest_row(problem: Problem) -> float:
    """The least α at which all rows of coefficients are zero, for a penalty α f_j ‖B_j‖₂ near zero."""
    factors = np.where(problem.factors > 0, problem.factors, np.inf)
    return largest_penalty(problem, lambda slope: (np.linalg.norm(slope, axis=0) / factors).max(initial=0.0))


@dataclass(eq=False, repr=False, kw_only=True)
class GroupElasticNet(FixedPenaltyModel, _GroupElasticNet):
    """Multi-task elastic net: the L1/L2 norm of the coefficients across tasks, and their squares.

    Minimises ``Σ_t Σ_i w_i ℓ(y_it, x_i·b_t + b0_t) / m + alpha Σ_j [l1_ratio ‖B_j‖₂ + ½ (1 − l1_ratio) ‖B_j‖₂²]``
    over the labels that are present, B_j the coefficients of feature j in all tasks, m the mean over tasks of their
    total weight. With complete targets it is scikit-learn's `MultiTaskElasticNet`.

    Parameters
    ----------
    alpha : float
        Penalty; positive.
    l1_ratio : float in (0, 1]
        1 is `GroupLasso`; less of it keeps correlated features together.
    penalty_factors : (p,) array, optional
        Multiplies both parts of the penalty of each feature; 0 leaves it unpenalised.
    loss, fit_intercept, standardize, scale_targets, positive, warm_start, tol, max_iter
        As in `LinearTaskModel`.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    dual_gap_ : float
        Upper bound on how far the (scaled) objective is from its minimum; `residual_`, an optimality residual,
        where features are unpenalised and the loss is not squared.
    n_iter_ : int
        Sweeps over the features, or proximal gradient steps.
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    alpha: float = field(default=1.0, kw_only=False)
    l1_ratio: float = field(default=0.5, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class GroupElasticNetCV(CrossValidatedModel, _GroupElasticNet):
    """Multi-task elastic net with its penalties chosen by cross-validation.

    The objective is that of `GroupElasticNet`. Errors on a fold are quadratic forms in its moments.

    Parameters
    ----------
    l1_ratios : list of float in (0, 1]
        Shares of the norm to choose from.
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`. By default 100 values for each of the l1_ratios, from the least penalty at
        which all coefficients are zero, to 0.001 of it, or 0.01 with fewer labels than features.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `GroupElasticNet`; `tol` is that of a fold's fit.

    Attributes
    ----------
    alpha_, l1_ratio_ : float
    grid_ : (k, 2) array
        The penalties alpha, l1_ratio tried.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units (`deviance_path_` for other losses); NaN where a fold tested no
        label of a task.
    coef_, intercept_, dual_gap_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `GroupElasticNet`.
    """

    l1_ratios: Any = (0.2, 0.5, 0.8)
