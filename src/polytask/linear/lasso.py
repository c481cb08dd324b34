"""The lasso per task: the sparse baseline of tasks that do not share anything."""

from __future__ import annotations

from typing import Any

import numpy as np

from polytask.linear.base import FixedPenaltyModel, LinearTaskModel
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.grids import decreasing, default_eps, largest_lasso
from polytask.linear.moments import Moments
from polytask.linear.paths import Solution
from polytask.linear.penalty import alpha_list, alpha_per_task, check_relax, grid_per_task
from polytask.linear.relaxation import relax
from polytask.linear.solvers.gram_descent import lasso_paths


class _Lasso(LinearTaskModel):
    """Σ w (y − xb)² / (2 Σ w) + α‖b‖₁ in every task."""

    penalty_per_task = True
    relax: float
    tol: float
    max_iter: int

    def _solve(self, moments: Moments, grid: np.ndarray) -> Solution:
        # Dividing a task's objective by its weight is the same as multiplying its penalty.
        weight = moments.task_weight
        unit = np.where(weight > 0, weight, 1.0)
        path = lasso_paths(
            moments.gram, moments.pattern, moments.xty, moments.yty, grid * unit,
            tol=self.tol, max_iter=self.max_iter,
        )  # fmt: skip
        return Solution(
            relax(moments, path.coef, check_relax(self.relax)), path.gap / unit, path.null / unit, path.n_iter
        )

    def _grid(self, moments: Moments, n_points: int | None, eps: float | None) -> np.ndarray:
        return decreasing(largest_lasso(moments), n_points or 100, eps or default_eps(moments))


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
    fit_intercept : bool
        Each task has its own unpenalised intercept.
    standardize : bool
        Penalise coefficients of features divided by their standard deviation within tasks; `coef_` is in the
        features' units all the same.
    tol : float
        Stop when the duality gap is at most tol times the objective of zero coefficients.
    max_iter : int
        Largest number of sweeps over the features.

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

    def __init__(
        self,
        alpha: Any = 1.0,
        *,
        relax: float = 1.0,
        fit_intercept: bool = True,
        standardize: bool = False,
        tol: float = 1e-4,
        max_iter: int = 10_000,
    ) -> None:
        self.alpha = alpha
        self.relax = relax
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.tol = tol
        self.max_iter = max_iter

    def _point(self, n_tasks: int) -> np.ndarray:
        return alpha_per_task(self.alpha, n_tasks, positive=True)


class TaskLassoCV(CrossValidatedModel, _Lasso):
    """Lasso of each task, with a penalty of its own chosen by cross-validation.

    The objective is that of `TaskLasso`. Errors on a fold are quadratic forms in its moments.

    Parameters
    ----------
    alphas : list of float, optional
        Penalties to choose from, for all tasks. By default each task has its own `n_alphas` values from the
        least penalty at which all its coefficients are zero.
    n_alphas : int
    eps : float, optional
        The least penalty of the default grid as a share of the largest. By default 0.001, and 0.01 when there
        are fewer labels than features.
    cv : int, splitter or list of (train, test) index arrays
        An int cuts folds within each task where tasks have their own rows, by group or time order where the
        `TaskData` has them, else into consecutive blocks.
    tol : float
        Relative duality gap at which a fold's fit stops; the final fit is solved to 1e-11 where `max_iter`
        allows.
    relax, fit_intercept, standardize, max_iter
        As in `TaskLasso`.

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

    def __init__(
        self,
        *,
        alphas: Any = None,
        n_alphas: int = 100,
        eps: float | None = None,
        cv: Any = 5,
        relax: float = 1.0,
        fit_intercept: bool = True,
        standardize: bool = False,
        tol: float = 1e-4,
        max_iter: int = 10_000,
    ) -> None:
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.eps = eps
        self.cv = cv
        self.relax = relax
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.tol = tol
        self.max_iter = max_iter

    def _search_grid(self, moments: Moments) -> np.ndarray:
        if self.alphas is None:
            return self.default_grid(moments, self.n_alphas, self.eps)
        return grid_per_task(alpha_list(self.alphas, "alphas", positive=True), moments.n_tasks)

    def _set_choice(self, grid: np.ndarray, best: Any) -> None:
        chosen = grid[best, np.arange(grid.shape[1])]
        self.alphas_ = grid[:, 0] if self._single_output else grid
        self.alpha_ = float(chosen[0]) if self._single_output else chosen
