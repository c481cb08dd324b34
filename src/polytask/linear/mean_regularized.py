"""Mean-regularized multi-task regression: every task's coefficients are drawn towards the tasks' mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from polytask.errors import SettingError
from polytask.linear.base import FixedPenaltyModel, LinearTaskModel
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.grids import decreasing, largest_ridge
from polytask.linear.moments import Moments
from polytask.linear.paths import Solution
from polytask.linear.penalty import alpha_list, check_penalty
from polytask.linear.solvers.mean_regularized import mean_regularized_path

#: Default degrees of sharing to choose from: from tasks on their own to one vector for all.
SHARING = (0.0, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0)


def evgeniou_pontil_penalties(
    alpha: float | np.ndarray, sharing: float | np.ndarray, n_tasks: int
) -> tuple[np.ndarray, np.ndarray]:
    """The paper's (λ₁, λ₂) of a ridge strength and a degree of sharing.

    If the coefficients of one feature in the T tasks have prior variance 1/alpha and correlation `sharing`,
    the posterior mode has λ₁ = alpha T / (1 − sharing + T sharing) and λ₂ = alpha T / (1 − sharing).

    Parameters
    ----------
    alpha : float or array
    sharing : float or array in [0, 1]
    n_tasks : int

    Returns
    -------
    λ₁, λ₂ : arrays; λ₂ is infinite at sharing = 1.
    """
    alpha, sharing = np.asarray(alpha, dtype=float), np.asarray(sharing, dtype=float)
    first = alpha * n_tasks / (1 - sharing + n_tasks * sharing)
    apart = np.where(sharing < 1, 1 - sharing, 1.0)
    return first, np.where(sharing < 1, alpha * n_tasks / apart, np.inf)


class _MeanRegularized(LinearTaskModel):
    """Σ_t Σ w (y − x a_t)² + λ₁‖ā‖² + (λ₂/T) Σ_t ‖a_t − ā‖², on a grid of (alpha, sharing)."""

    def _solve(self, moments: Moments, grid: np.ndarray) -> Solution:
        penalties = evgeniou_pontil_penalties(grid[:, 0], grid[:, 1], moments.n_tasks)
        per_task = np.column_stack(penalties) / moments.n_tasks
        # At sharing = 0 the two agree up to rounding, and the tasks separate.
        per_task[grid[:, 1] == 0] = grid[grid[:, 1] == 0, :1]
        return Solution(mean_regularized_path(moments.gram, moments.pattern, moments.xty, per_task))

    def _grid(self, moments: Moments, n_points: int | None, eps: float | None) -> np.ndarray:
        return _pairs(decreasing(largest_ridge(moments), n_points or 15, eps or 1e-7), np.array(SHARING))


class MeanRegularized(FixedPenaltyModel, _MeanRegularized):
    """Regression of several tasks whose coefficients are drawn towards their mean.

    Minimises ``Σ_t Σ_i w_i (y_i − x_i·a_t − b_t)² + λ₁ ‖ā‖² + (λ₂/T) Σ_t ‖a_t − ā‖²`` with ā the mean of the
    T task vectors (Evgeniou & Pontil 2004, "Regularized multi-task learning", with squared loss), in closed
    form. The two penalties are set through a ridge strength and a degree of sharing, which is the prior
    correlation between two tasks' coefficients: λ₁ = alpha T / (1 − sharing + T sharing),
    λ₂ = alpha T / (1 − sharing). Every task keeps its own unpenalised intercept.

    Parameters
    ----------
    alpha : float
        Ridge strength, zero or more, on the scale of `TaskRidge`.
    sharing : float
        From 0, which is `TaskRidge(alpha)` of each task apart, to 1, which is one ridge regression of penalty
        alpha for the rows of all tasks (with an intercept per task).
    fit_intercept : bool
    standardize : bool
        Penalise coefficients of features divided by their standard deviation within tasks; `coef_` is in the
        features' units all the same.
    scale_targets : bool
        Divide each target by its standard deviation while fitting, so that coefficients of tasks in different
        units are comparable. Leave it off for tasks that measure one thing in one unit.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    def __init__(
        self,
        alpha: float = 1.0,
        sharing: float = 0.5,
        *,
        fit_intercept: bool = True,
        standardize: bool = False,
        scale_targets: bool = False,
    ) -> None:
        self.alpha = alpha
        self.sharing = sharing
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.scale_targets = scale_targets

    def _point(self, n_tasks: int) -> np.ndarray:
        alpha = check_penalty(self.alpha, "alpha", positive=False)
        if alpha.ndim:
            raise SettingError(f"alpha must be one number for all tasks, got shape {alpha.shape}.")
        return _pairs(alpha[None], _check_sharing([self.sharing]))


class MeanRegularizedCV(CrossValidatedModel, _MeanRegularized):
    """Mean-regularized regression with ridge strength and degree of sharing chosen by cross-validation.

    The objective is that of `MeanRegularized`. Errors on a fold are quadratic forms in its moments; the pair
    with the least squared error over all tasks (of scaled targets if `scale_targets`) is chosen.

    Parameters
    ----------
    alphas : list of float, optional
        Ridge strengths to choose from. By default `n_alphas` values, scaled to the data.
    n_alphas : int
    eps : float
        The least ridge strength of the default grid as a share of the largest.
    sharings : list of float in [0, 1]
        Degrees of sharing to choose from.
    cv : int, splitter or list of (train, test) index arrays
        An int cuts folds within each task where tasks have their own rows, by group or time order where the
        `TaskData` has them, else into consecutive blocks.
    fit_intercept, standardize, scale_targets
        As in `MeanRegularized`.

    Attributes
    ----------
    alpha_, sharing_ : float
        The chosen pair.
    grid_ : (k, 2) array
        The pairs (alpha, sharing) tried.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units; NaN where a fold tested no label of a task.
    coef_, intercept_, task_names_, n_features_in_, feature_names_in_
        As in `MeanRegularized`.
    """

    def __init__(
        self,
        *,
        alphas: Any = None,
        n_alphas: int = 15,
        eps: float = 1e-7,
        sharings: Any = SHARING,
        cv: Any = 5,
        fit_intercept: bool = True,
        standardize: bool = False,
        scale_targets: bool = False,
    ) -> None:
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.eps = eps
        self.sharings = sharings
        self.cv = cv
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.scale_targets = scale_targets

    def _search_grid(self, moments: Moments) -> np.ndarray:
        if self.alphas is None:
            scaled = self._scaling().apply(moments)
            alphas = decreasing(largest_ridge(scaled), self.n_alphas, self.eps)
        else:
            alphas = alpha_list(self.alphas, "alphas", positive=False)
        return _pairs(alphas, _check_sharing(self.sharings))

    def _set_choice(self, grid: np.ndarray, best: Any) -> None:
        self.grid_ = grid
        self.alpha_, self.sharing_ = (float(value) for value in grid[best])


def _pairs(alphas: np.ndarray, sharings: np.ndarray) -> np.ndarray:
    """All pairs (alpha, sharing) as rows; alpha varies slowest."""
    return np.column_stack([np.repeat(alphas, len(sharings)), np.tile(sharings, len(alphas))])


def _check_sharing(values: Any) -> np.ndarray:
    numbers = np.asarray(values, dtype=float)
    if numbers.ndim != 1 or numbers.size == 0 or not np.all((numbers >= 0) & (numbers <= 1)):
        raise SettingError(
            f"sharing must lie between 0 (tasks apart) and 1 (one vector for all tasks); got {values!r}."
        )
    return numbers
