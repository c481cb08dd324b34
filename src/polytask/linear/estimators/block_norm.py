"""The L1/Lq block norm: features shared by all tasks, whose sizes are tied by an Lq norm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from polytask.errors import SettingError
from polytask.linear.base import FixedPenaltyModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.estimators.proximal_model import ProximalModel
from polytask.linear.grids import decreasing, default_eps, largest_penalty
from polytask.linear.paths import Solution
from polytask.linear.penalties.base import Penalty
from polytask.linear.penalties.block_norm import BlockNorm, conjugate_order, row_norms
from polytask.linear.problem import Problem


@dataclass(eq=False, repr=False, kw_only=True)
class _BlockNorm(ProximalModel):
    """Σ_t Σ w ℓ(y, xb_t) / m + α Σ_j ‖B_j‖_q, m the mean weight of a task's labels."""

    can: ClassVar[Capabilities] = Capabilities(losses=("squared", "logistic", "poisson"))

    order: float = np.inf

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        check_order(self.order)
        return super()._solve(problem, grid)

    def _penalties_at(self, problem: Problem, point: np.ndarray, unit: float) -> list[Penalty]:
        return [BlockNorm(float(point) * unit, problem.factors, self.order)]

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        dual = conjugate_order(check_order(self.order))
        largest = largest_penalty(problem, lambda slope: row_norms(slope, dual).max(initial=0.0))
        return decreasing(largest, n_points or 50, eps or default_eps(problem))


def check_order(order: float) -> float:
    """The order q of a norm, from 1 to infinity."""
    if not order >= 1:
        raise SettingError(f"order must be between 1 and infinity (numpy.inf); got {order!r}.")
    return float(order)


@dataclass(eq=False, repr=False, kw_only=True)
class BlockNormLasso(FixedPenaltyModel, _BlockNorm):
    """Multi-task lasso with the L1/Lq norm of the coefficients across tasks.

    Minimises ``Σ_t Σ_i w_i ℓ(y_it, x_i·b_t + b0_t) / m + alpha Σ_j ‖B_j‖_q`` over the labels that are present, B_j
    the coefficients of feature j in all tasks, m the mean over tasks of their total weight.

    Parameters
    ----------
    alpha : float
        Penalty; positive.
    order : float in [1, inf]
        q. Infinity only asks which features are used and lets every task have coefficients up to the largest
        (Turlach, Venables & Wright 2005); 2 is `GroupLasso`, which is faster; 1 is a lasso per task with one
        penalty for all.
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
        Proximal gradient steps.
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    alpha: float = field(default=1.0, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class BlockNormLassoCV(CrossValidatedModel, _BlockNorm):
    """L1/Lq multi-task lasso with its penalty chosen by cross-validation.

    The objective is that of `BlockNormLasso`.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`. By default 50 values from the least penalty at which all coefficients are
        zero, to 0.001 of it, or 0.01 with fewer labels than features.
    order, loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `BlockNormLasso`; `tol` is that of a fold's fit.

    Attributes
    ----------
    alpha_ : float
    alphas_ : (k,) array
        The penalties tried, decreasing.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units (`deviance_path_` for other losses); NaN where a fold tested no
        label of a task.
    coef_, intercept_, dual_gap_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `BlockNormLasso`.
    """
