"""The multi-task group lasso: a feature is used by all tasks or by none."""

from __future__ import annotations

from typing import Any

import numpy as np

from polytask.errors import SettingError
from polytask.linear.base import FixedPenaltyModel, LinearTaskModel
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.grids import decreasing, default_eps, largest_group_lasso
from polytask.linear.moments import Moments
from polytask.linear.paths import Solution
from polytask.linear.penalty import alpha_list, check_penalty, check_relax
from polytask.linear.relaxation import relax
from polytask.linear.solvers.gram_descent import group_path


class _GroupLasso(LinearTaskModel):
    """Σ_t Σ w (y − xb_t)² / (2m) + α Σ_j ‖B_j‖₂, m the mean weight of a task's labels."""

    relax: float
    tol: float
    max_iter: int

    def _solve(self, moments: Moments, grid: np.ndarray) -> Solution:
        # Dividing the losses by m is the same as multiplying the penalty.
        mean_weight = float(moments.task_weight.mean()) or 1.0
        path = group_path(
            moments.gram, moments.pattern, moments.xty, float(moments.yty.sum()), grid * mean_weight,
            tol=self.tol, max_iter=self.max_iter,
        )  # fmt: skip
        null = np.asarray(path.null) / mean_weight
        return Solution(
            relax(moments, path.coef, check_relax(self.relax)), path.gap / mean_weight, null, path.n_iter
        )

    def _grid(self, moments: Moments, n_points: int | None, eps: float | None) -> np.ndarray:
        return decreasing(largest_group_lasso(moments), n_points or 100, eps or default_eps(moments))


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
    fit_intercept : bool
        Each task has its own unpenalised intercept.
    standardize : bool
        Penalise coefficients of features divided by their standard deviation within tasks; `coef_` is in the
        features' units all the same.
    scale_targets : bool
        Divide each target by its standard deviation while fitting, so that tasks in large units do not decide
        alone which features are used. Leave it off for tasks that measure one thing in one unit.
    tol : float
        Stop when the duality gap is at most tol times the objective of zero coefficients.
    max_iter : int
        Largest number of sweeps over the features.

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

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        relax: float = 1.0,
        fit_intercept: bool = True,
        standardize: bool = False,
        scale_targets: bool = False,
        tol: float = 1e-4,
        max_iter: int = 10_000,
    ) -> None:
        self.alpha = alpha
        self.relax = relax
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.scale_targets = scale_targets
        self.tol = tol
        self.max_iter = max_iter

    def _point(self, n_tasks: int) -> np.ndarray:
        alpha = check_penalty(self.alpha, "alpha", positive=True)
        if alpha.ndim:
            raise SettingError(f"alpha must be one number for all tasks, got shape {alpha.shape}.")
        return alpha[None]


class GroupLassoCV(CrossValidatedModel, _GroupLasso):
    """Multi-task lasso with its penalty chosen by cross-validation.

    The objective is that of `GroupLasso`. Errors on a fold are quadratic forms in its moments; the penalty
    with the least squared error over all tasks (of scaled targets if `scale_targets`) is chosen.

    Parameters
    ----------
    alphas : list of float, optional
        Penalties to choose from. By default `n_alphas` values from the least penalty at which all
        coefficients are zero.
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
    relax, fit_intercept, standardize, scale_targets, max_iter
        As in `GroupLasso`.

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
        scale_targets: bool = False,
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
        self.scale_targets = scale_targets
        self.tol = tol
        self.max_iter = max_iter

    def _search_grid(self, moments: Moments) -> np.ndarray:
        if self.alphas is None:
            return self.default_grid(moments, self.n_alphas, self.eps)
        return alpha_list(self.alphas, "alphas", positive=True)

    def _set_choice(self, grid: np.ndarray, best: Any) -> None:
        self.alphas_ = grid
        self.alpha_ = float(grid[best])


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
    moments = Moments.from_arrays(X, Y, sample_weight)
    given = None if alphas is None else alpha_list(alphas, "alphas", positive=True)
    grid = model.default_grid(moments, n_alphas, eps) if given is None else given
    path = model.coef_path(moments, grid)
    model._warn_if_unconverged(path.worst_gap(), " on the path")
    assert path.gap is not None
    return grid, path.coef, path.intercept, path.gap
