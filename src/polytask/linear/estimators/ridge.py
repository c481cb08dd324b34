"""Ridge regression per task: the baseline of tasks that do not share anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polytask.linear.base import FixedPenaltyModel
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.estimators.coupled_model import CoupledModel
from polytask.linear.grids import decreasing, largest_ridge
from polytask.linear.penalty import grid_per_task
from polytask.linear.problem import Problem
from polytask.linear.solvers.spectral import Spectrum, ridge_path
from polytask.linear.solvers.task_penalty import TaskPenalty


class _Ridge(CoupledModel):
    """Σ w ℓ(y, xb) + (α/2)‖b‖² in every task."""

    penalty_per_task = True
    zero_penalty = True

    def _task_penalties(self, problem: Problem, grid: np.ndarray) -> list[TaskPenalty]:
        return [TaskPenalty(alphas, np.eye(problem.n_tasks)) for alphas in grid]

    def _closed_form(self, problem: Problem, grid: np.ndarray) -> np.ndarray:
        moments = problem.moments
        return ridge_path(Spectrum.of(moments.gram), moments.pattern, moments.xty, grid)

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        alphas = decreasing(largest_ridge(problem), n_points or 30, eps or 1e-8)
        return grid_per_task(alphas, problem.n_tasks)


@dataclass(eq=False, repr=False, kw_only=True)
class TaskRidge(FixedPenaltyModel, _Ridge):
    """Ridge regression of each task on its own labels.

    Minimises ``Σ_i w_i (y_i − x_i·b − b0)² + alpha ‖b‖²`` per task, scikit-learn's `Ridge` where no label is
    missing (Hoerl & Kennard 1970), in closed form. At alpha=0 it is ordinary least squares of least norm. For other
    losses it is ``Σ_i w_i ℓ + (alpha/2) ‖b‖²`` by Newton's method: scikit-learn's `LogisticRegression` with
    C = 1/alpha, and `PoissonRegressor` with alpha over the total weight (le Cessie & van Houwelingen 1992).

    Parameters
    ----------
    alpha : float or (q,) array
        Penalty, of all tasks or of each; zero or more.
    loss, fit_intercept, standardize, penalty_factors, positive, warm_start, tol, max_iter
        As in `LinearTaskModel`.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    dual_gap_, n_iter_ : float, int
        With other losses than squared: an upper bound on how far the objective is from its minimum, and Newton
        steps. `residual_` instead of the gap with positive coefficients, which projected gradients find, and where
        features are unpenalised.
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    alpha: Any = field(default=1.0, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class TaskRidgeCV(CrossValidatedModel, _Ridge):
    """Ridge regression of each task, with a penalty of its own chosen by cross-validation.

    The objective is that of `TaskRidge`. With squared loss one eigendecomposition per fold serves all
    penalties, and errors on a fold are quadratic forms in its moments.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`; 30 penalties by default.
    loss, fit_intercept, standardize, penalty_factors, positive, warm_start, tol, max_iter
        As in `LinearTaskModel`.

    Attributes
    ----------
    alpha_ : (q,) array, float for one-dimensional y
        The chosen penalties.
    alphas_ : (k, q) array, (k,) for one-dimensional y
        The penalties tried, decreasing.
    mse_path_ : (k, folds, q) array
        Mean squared errors (`deviance_path_` for other losses); NaN where a fold tested no label of a task.
    coef_, intercept_, task_names_, n_features_in_, feature_names_in_
        As in `TaskRidge`.
    """
