"""The sparse group lasso: features that some tasks use, and features that none does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.linear.base import FixedPenaltyModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.descent import grams_serve
from polytask.linear.estimators.proximal_model import ProximalModel
from polytask.linear.grids import decreasing, default_eps, largest_penalty
from polytask.linear.paths import Solution
from polytask.linear.penalties.base import Penalty
from polytask.linear.penalties.sparse_group import SparseGroup, sparse_group_dual
from polytask.linear.penalty import shares
from polytask.linear.problem import Problem
from polytask.linear.solvers.sparse_group import sparse_group_path


@dataclass(eq=False, repr=False, kw_only=True)
class _SparseGroup(ProximalModel):
    """Σ_t Σ w ℓ(y, xb_t) / m + α Σ_j [(1 − r) ‖B_j‖₂ + r ‖B_j‖₁], m the mean weight of a task's labels."""

    can: ClassVar[Capabilities] = Capabilities(losses=("squared", "logistic", "poisson"))
    penalties: ClassVar[tuple[str, ...]] = ("alpha", "l1_ratio")
    tries: ClassVar[dict[str, tuple[float, ...]]] = {"l1_ratio": (0.5,)}

    def _check_penalties(self, name: str, values: Any) -> np.ndarray:
        return shares(values, name, "0 (the group lasso) and 1 (the lasso)")

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        if not grams_serve(problem):
            return super()._solve(problem, grid)
        return sparse_group_path(
            problem.moments, grid, problem.mean_weight, factors=problem.factors, positive=problem.positive,
            start=problem.start, tol=self.tol, max_iter=self.max_iter,
        )  # fmt: skip

    def _penalties_at(self, problem: Problem, point: np.ndarray, unit: float) -> list[Penalty]:
        return [SparseGroup(float(point[0]) * unit, float(point[1]), problem.factors)]

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        r = others["l1_ratio"]
        largest = largest_penalty(problem, lambda slope: sparse_group_dual(slope, r).max(initial=0.0))
        return decreasing(largest, n_points or 50, eps or default_eps(problem))


@dataclass(eq=False, repr=False, kw_only=True)
class SparseGroupLasso(FixedPenaltyModel, _SparseGroup):
    """Sparse group lasso: zeros for whole features, and for single tasks within the others.

    Minimises ``Σ_t Σ_i w_i ℓ(y_it, x_i·b_t + b0_t) / m + alpha Σ_j [(1 − l1_ratio) ‖B_j‖₂ + l1_ratio ‖B_j‖₁]`` over
    the labels that are present, B_j the coefficients of feature j in all tasks, m the mean over tasks of their
    total weight (Simon, Friedman, Hastie & Tibshirani 2013).

    Parameters
    ----------
    alpha : float
        Penalty; positive.
    l1_ratio : float in [0, 1]
        0 is `GroupLasso`, 1 a lasso per task with one penalty for all.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `LinearTaskModel`.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    dual_gap_ : float
        Upper bound on how far the (scaled) objective is from its minimum; `residual_`, an optimality residual,
        where coefficients are positive and some unpenalised.
    n_iter_ : int
        Sweeps over the features and proximal gradient steps.
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    alpha: float = field(default=1.0, kw_only=False)
    l1_ratio: float = field(default=0.5, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class SparseGroupLassoCV(CrossValidatedModel, _SparseGroup):
    """Sparse group lasso with its penalties chosen by cross-validation.

    The objective is that of `SparseGroupLasso`.

    Parameters
    ----------
    l1_ratios : list of float in [0, 1]
        Shares of the lasso's penalty to choose from.
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`. By default 50 values for each of the l1_ratios, from the least penalty at
        which all coefficients are zero, to 0.001 of it, or 0.01 with fewer labels than features.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `SparseGroupLasso`; `tol` is that of a fold's fit.

    Attributes
    ----------
    alpha_, l1_ratio_ : float
    grid_ : (k, 2) array
        The penalties alpha, l1_ratio tried.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units (`deviance_path_` for other losses); NaN where a fold tested no
        label of a task.
    coef_, intercept_, dual_gap_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `SparseGroupLasso`.
    """

    l1_ratios: Any = (0.2, 0.5, 0.8)
