"""The multi-task group lasso: a feature is used by all tasks or by none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.linear.base import FixedPenaltyModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.descent import descends, group_descent, newton_descent, takes_newton_steps
from polytask.linear.estimators.proximal_model import ProximalModel
from polytask.linear.estimators.relaxation import check_relaxable, relax
from polytask.linear.grids import decreasing, default_eps, largest_penalty
from polytask.linear.moments import Moments
from polytask.linear.paths import Solution
from polytask.linear.penalties.base import Penalty
from polytask.linear.penalties.group import Group
from polytask.linear.penalty import alpha_list
from polytask.linear.problem import Problem, is_wide
from polytask.linear.table import LabelledTable


@dataclass(eq=False, repr=False, kw_only=True)
class _GroupLasso(ProximalModel):
    """Σ_t Σ w ℓ(y, xb_t) / m + α Σ_j ‖B_j‖₂, m the mean weight of a task's labels."""

    can: ClassVar[Capabilities] = Capabilities(losses=("squared", "logistic", "poisson"))

    final_tol: ClassVar[float] = 1e-11

    relax: float = 1.0

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        check_relaxable(self, problem)
        if takes_newton_steps(problem):
            return newton_descent(problem, grid * problem.mean_weight, tol=self.tol, max_iter=self.max_iter)
        if not descends(problem):
            return super()._solve(problem, grid)
        # Dividing the losses by m is the same as multiplying the penalty.
        unit = problem.mean_weight
        path = group_descent(problem, grid * unit, tol=self.tol, max_iter=self.max_iter)
        coef = path.coef if self.relax == 1 else relax(problem.moments, path.coef, self.relax)
        return Solution(coef, path.gap / unit, np.asarray(path.null) / unit, path.n_iter)

    def _penalties_at(self, problem: Problem, point: np.ndarray, unit: float) -> list[Penalty]:
        return [Group(float(point) * unit, problem.factors)]

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        largest = largest_penalty(problem, lambda slope: np.linalg.norm(slope, axis=0).max(initial=0.0))
        return decreasing(largest, n_points or 100, eps or default_eps(problem))


@dataclass(eq=False, repr=False, kw_only=True)
class GroupLasso(FixedPenaltyModel, _GroupLasso):
    """Multi-task lasso: least squares with the L1/L2 norm of the coefficients across tasks.

    Minimises ``Σ_t Σ_i w_i (y_it − x_i·b_t − b0_t)² / (2m) + alpha Σ_j ‖B_j‖₂`` over the labels that are
    present, B_j the coefficients of feature j in all tasks, m the mean over tasks of their total weight.
    With complete targets m = n, scikit-learn's `MultiTaskLasso` (Obozinski, Taskar & Jordan 2010).

    Parameters
    ----------
    alpha : float
        Penalty; positive.
    relax : float in [0, 1]
        Weight of the penalised coefficients against least squares on the features they select: 1 is the
        plain model, 0 the relaxed lasso proper (Meinshausen 2007). `dual_gap_` is that of the penalised fit.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `LinearTaskModel`.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    dual_gap_ : float
        Upper bound on how far the (scaled) objective is from its minimum.
    n_iter_ : int
        Sweeps over the features.
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    alpha: float = field(default=1.0, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class GroupLassoCV(CrossValidatedModel, _GroupLasso):
    """Multi-task lasso with its penalty chosen by cross-validation.

    The objective is that of `GroupLasso`. Errors on a fold are quadratic forms in its moments; the penalty
    with the least squared error over all tasks (of scaled targets if `scale_targets`) is chosen.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`. By default 100 values from the least penalty at which all coefficients are
        zero, to 0.001 of it, or 0.01 with fewer labels than features.
    relax, loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `GroupLasso`; `tol` is that of a fold's fit.

    Attributes
    ----------
    alpha_ : float
    alphas_ : (k,) array
        The penalties tried, decreasing.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units; NaN where a fold tested no label of a task.
    coef_, intercept_, dual_gap_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `GroupLasso`.
    """


def group_lasso_path(
    X: Any,
    Y: Any,
    *,
    alphas: Any = None,
    n_alphas: int = 100,
    eps: float | None = None,
    sample_weight: Any = None,
    fit_intercept: bool = True,
    standardize: bool = False,
    scale_targets: bool = False,
    tol: float = 1e-4,
    max_iter: int = 10_000,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Solutions of `GroupLasso` for decreasing penalties, each starting the next.

    Parameters
    ----------
    X : (n, p) array or sparse matrix
    Y : (n, q) array
        NaN = missing label.
    alphas, n_alphas, eps, fit_intercept, standardize, scale_targets, tol, max_iter
        As in `GroupLassoCV`.
    sample_weight : (n,) array, optional

    Returns
    -------
    alphas : (k,) array, decreasing
    coefs : (k, q, p) array
    intercepts : (k, q) array
    dual_gaps : (k,) array
    """
    model = GroupLasso(
        fit_intercept=fit_intercept, standardize=standardize, scale_targets=scale_targets,
        tol=tol, max_iter=max_iter,
    )  # fmt: skip
    table = LabelledTable.from_arrays(X, Y, sample_weight)
    data = table if is_wide(table) else Moments.from_table(table)
    given = None if alphas is None else alpha_list(alphas, "alphas", positive=True)
    grid = model.default_grid(data, n_alphas, eps) if given is None else given
    path = model.coef_path(data, grid)
    model._warn_if_unconverged(path, " on the path")
    assert path.gap is not None
    return grid, path.coef, path.intercept, path.gap
