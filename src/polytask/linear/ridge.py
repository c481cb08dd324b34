"""Ridge regression per task: the baseline of tasks that do not share anything."""

from __future__ import annotations

from typing import Any

import numpy as np

from polytask.linear.base import FixedPenaltyModel, LinearTaskModel
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.grids import decreasing, largest_ridge
from polytask.linear.moments import Moments
from polytask.linear.paths import Solution
from polytask.linear.penalty import alpha_list, alpha_per_task, grid_per_task
from polytask.linear.solvers.spectral import Spectrum, ridge_path


class _Ridge(LinearTaskModel):
    """Σ w (y − xb)² + α‖b‖² in every task."""

    penalty_per_task = True

    def _solve(self, moments: Moments, grid: np.ndarray) -> Solution:
        return Solution(ridge_path(Spectrum.of(moments.gram), moments.pattern, moments.xty, grid))

    def _grid(self, moments: Moments, n_points: int | None, eps: float | None) -> np.ndarray:
        alphas = decreasing(largest_ridge(moments), n_points or 30, eps or 1e-8)
        return grid_per_task(alphas, moments.n_tasks)


class TaskRidge(FixedPenaltyModel, _Ridge):
    """Ridge regression of each task on its own labels.

    Minimises ``Σ_i w_i (y_i − x_i·b − b0)² + alpha ‖b‖²`` per task, scikit-learn's `Ridge` where no label is
    missing (Hoerl & Kennard 1970). At alpha=0 it is ordinary least squares of least norm.

    Parameters
    ----------
    alpha : float or (q,) array
        Penalty, of all tasks or of each; zero or more.
    fit_intercept : bool
        Each task has its own unpenalised intercept.
    standardize : bool
        Penalise coefficients of features divided by their standard deviation within tasks; `coef_` is in the
        features' units all the same.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    def __init__(self, alpha: Any = 1.0, *, fit_intercept: bool = True, standardize: bool = False) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.standardize = standardize

    def _point(self, n_tasks: int) -> np.ndarray:
        return alpha_per_task(self.alpha, n_tasks, positive=False)


class TaskRidgeCV(CrossValidatedModel, _Ridge):
    """Ridge regression of each task, with a penalty of its own chosen by cross-validation.

    The objective is that of `TaskRidge`. One eigendecomposition per fold serves all penalties, and errors on
    a fold are quadratic forms in its moments.

    Parameters
    ----------
    alphas : list of float, optional
        Penalties to choose from. By default `n_alphas` values, scaled to the data.
    n_alphas : int
    eps : float
        The least penalty of the default grid as a share of the largest.
    cv : int, splitter or list of (train, test) index arrays
        An int cuts folds within each task where tasks have their own rows, by group or time order where the
        `TaskData` has them, else into consecutive blocks.
    fit_intercept, standardize
        As in `TaskRidge`.

    Attributes
    ----------
    alpha_ : (q,) array, float for one-dimensional y
        The chosen penalties.
    alphas_ : (k,) array
        The penalties tried, decreasing.
    mse_path_ : (k, folds, q) array
        Mean squared errors; NaN where a fold tested no label of a task.
    coef_, intercept_, task_names_, n_features_in_, feature_names_in_
        As in `TaskRidge`.
    """

    def __init__(
        self,
        *,
        alphas: Any = None,
        n_alphas: int = 30,
        eps: float = 1e-8,
        cv: Any = 5,
        fit_intercept: bool = True,
        standardize: bool = False,
    ) -> None:
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.eps = eps
        self.cv = cv
        self.fit_intercept = fit_intercept
        self.standardize = standardize

    def _search_grid(self, moments: Moments) -> np.ndarray:
        if self.alphas is None:
            return self.default_grid(moments, self.n_alphas, self.eps)
        return grid_per_task(alpha_list(self.alphas, "alphas", positive=False), moments.n_tasks)

    def _set_choice(self, grid: np.ndarray, best: Any) -> None:
        chosen = grid[best, np.arange(grid.shape[1])]
        self.alphas_ = grid[:, 0]
        self.alpha_ = float(chosen[0]) if self._single_output else chosen
