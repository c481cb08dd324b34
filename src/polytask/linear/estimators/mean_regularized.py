"""Mean-regularized multi-task models: every task's coefficients are drawn towards the tasks' mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.linear.base import FixedPenaltyModel
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.estimators.coupled_model import CoupledModel
from polytask.linear.grids import decreasing, largest_ridge
from polytask.linear.penalty import shares
from polytask.linear.problem import Problem
from polytask.linear.solvers.mean_regularized import mean_regularized_path
from polytask.linear.solvers.task_penalty import TaskPenalty, mean_vectors

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


def _per_task(grid: np.ndarray, n_tasks: int) -> np.ndarray:
    """(k, 2) the penalties h = λ₁/T of the mean direction and κ = λ₂/T of what deviates from it."""
    penalties = np.column_stack(evgeniou_pontil_penalties(grid[:, 0], grid[:, 1], n_tasks)) / n_tasks
    # At sharing = 0 the two agree up to rounding, and the tasks separate.
    penalties[grid[:, 1] == 0] = grid[grid[:, 1] == 0, :1]
    return penalties


class _MeanRegularized(CoupledModel):
    """Σ_t Σ w ℓ(y, x a_t) + ½ [λ₁‖ā‖² + (λ₂/T) Σ_t ‖a_t − ā‖²], on a grid of (alpha, sharing)."""

    penalties = ("alpha", "sharing")
    tries: ClassVar[dict[str, tuple[float, ...]]] = {"sharing": SHARING}
    zero_penalty = True

    def _task_penalties(self, problem: Problem, grid: np.ndarray) -> list[TaskPenalty]:
        vectors = mean_vectors(problem.n_tasks)
        return [
            TaskPenalty(np.append(h, np.full(problem.n_tasks - 1, kappa)), vectors)
            for h, kappa in _per_task(grid, problem.n_tasks)
        ]

    def _closed_form(self, problem: Problem, grid: np.ndarray) -> np.ndarray:
        moments = problem.moments
        penalties = _per_task(grid, problem.n_tasks)
        return mean_regularized_path(moments.gram, moments.pattern, moments.xty, penalties)

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        return decreasing(largest_ridge(problem), n_points or 15, eps or 1e-7)

    def _check_penalties(self, name: str, values: Any) -> np.ndarray:
        return shares(values, "sharing", "0 (tasks apart) and 1 (one vector for all tasks)")


@dataclass(eq=False, repr=False, kw_only=True)
class MeanRegularized(FixedPenaltyModel, _MeanRegularized):
    """Regression of several tasks whose coefficients are drawn towards their mean.

    Minimises ``Σ_t Σ_i w_i (y_i − x_i·a_t − b_t)² + λ₁ ‖ā‖² + (λ₂/T) Σ_t ‖a_t − ā‖²`` with ā the mean of the
    T task vectors (Evgeniou & Pontil 2004, "Regularized multi-task learning", with squared loss), in closed
    form. The two penalties are set through a ridge strength and a degree of sharing, which is the prior
    correlation between two tasks' coefficients: λ₁ = alpha T / (1 − sharing + T sharing),
    λ₂ = alpha T / (1 − sharing). Every task keeps its own unpenalised intercept. For other losses the objective
    is ``Σ_t Σ_i w_i ℓ`` and half of the penalty, by Newton's method.

    Parameters
    ----------
    alpha : float
        Ridge strength, zero or more, on the scale of `TaskRidge`.
    sharing : float
        From 0, which is `TaskRidge(alpha)` of each task apart, to 1, which is one ridge regression of penalty
        alpha for the rows of all tasks (with an intercept per task).
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
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

    alpha: float = field(default=1.0, kw_only=False)
    sharing: float = field(default=0.5, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class MeanRegularizedCV(CrossValidatedModel, _MeanRegularized):
    """Mean-regularized regression with ridge strength and degree of sharing chosen by cross-validation.

    The objective is that of `MeanRegularized`. Errors on a fold are quadratic forms in its moments; the pair
    with the least squared error over all tasks (of scaled targets if `scale_targets`) is chosen.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`; 15 strengths by default.
    sharings : list of float in [0, 1]
        Degrees of sharing to choose from.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `LinearTaskModel`.

    Attributes
    ----------
    alpha_, sharing_ : float
        The chosen pair.
    grid_ : (k, 2) array
        The pairs (alpha, sharing) tried.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units (`deviance_path_` for other losses); NaN where a fold tested no
        label of a task.
    coef_, intercept_, task_names_, n_features_in_, feature_names_in_
        As in `MeanRegularized`.
    """

    sharings: Any = SHARING
