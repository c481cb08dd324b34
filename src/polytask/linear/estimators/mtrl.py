"""Task-relationship learning: a covariance of the tasks, learned with their coefficients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.errors import SettingError
from polytask.linear.base import FixedPenaltyModel, LinearTaskModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.estimators.row_space import row_space
from polytask.linear.grids import decreasing, largest_ridge
from polytask.linear.losses.rows import RowLoss
from polytask.linear.paths import Solution
from polytask.linear.penalty import shares
from polytask.linear.problem import Problem
from polytask.linear.solvers.mtrl import mtrl_path
from polytask.linear.solvers.mtrl_newton import mtrl_newton_path
from polytask.linear.solvers.relationship_penalty import correlation, task_covariance

#: Default degrees of sharing to choose from: from tasks on their own to all of the penalty on their relations.
SHARING = (0.0, 0.5, 0.8, 0.95, 1.0)


@dataclass(eq=False, repr=False, kw_only=True)
class RelationshipModel(LinearTaskModel):
    """Σ_t Σ w ℓ(y, x a_t) + ½ alpha [(1 − sharing) ‖A‖_F² + (sharing / q) min_Ω tr(A Ω⁻¹ Aᵀ)], tr Ω = 1."""

    can: ClassVar[Capabilities] = Capabilities(
        losses=("squared", "logistic", "poisson"),
        positive="its task covariance comes from singular values, which depend on all coefficients together",
    )
    penalties = ("alpha", "sharing")
    tries: ClassVar[dict[str, tuple[float, ...]]] = {"sharing": SHARING}
    penalty_degree = 2
    zero_penalty = True

    @property
    def task_correlation_(self) -> np.ndarray:
        """(q, q) correlations of `task_covariance_`; 0 for tasks whose coefficients are all zero, 1 with itself."""
        return correlation(self.task_covariance_)

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        return decreasing(largest_ridge(problem), n_points or 15, eps or 1e-7)

    def _check_penalties(self, name: str, values: Any) -> np.ndarray:
        return shares(values, "sharing", "0 (tasks apart) and 1 (all of the penalty on the tasks' relations)")


def ridge_and_coupling(grid: np.ndarray, n_tasks: int) -> np.ndarray:
    """(k, 2) weights of ½‖A‖_F² and of ½ tr(A Ω⁻¹ Aᵀ) for rows (alpha, sharing)."""
    return grid[:, :1] * np.column_stack([1 - grid[:, 1], grid[:, 1] / n_tasks])


def target_gap(tol: float, null: float) -> float:
    """Duality gap at which to stop; below 1e-14 of the loss at zero coefficients it is rounding error."""
    return max(tol, 1e-14) * null


def covariances(coef: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """(k, q, q) the Ω of coefficients (k, q, p), of which those with a factor of 0 carry no penalty."""
    return np.array([task_covariance(point[:, factors > 0]) for point in coef])


@dataclass(eq=False, repr=False, kw_only=True)
class _MTRL(RelationshipModel):
    """Solved on moments by alternation, for other losses inside Newton steps."""

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        space = row_space(problem)
        if space is None or space.problem.n_features == 0:
            return self._solve_here(problem, grid)
        found = self._solve_here(space.problem, grid)
        coef = space.lift(found.coef)
        intercept = space.lift_intercept(found.intercept, coef)
        return Solution(coef, found.gap, found.null, found.n_iter, intercept, found.learned, found.measure)

    def _solve_here(self, problem: Problem, grid: np.ndarray) -> Solution:
        pairs = ridge_and_coupling(grid, problem.n_tasks)
        if problem.loss == "squared":
            moments, null = problem.moments, float(problem.moments.yty.sum()) / 2
            path, intercept = mtrl_path(
                moments.gram, moments.pattern, moments.xty, pairs,
                target=target_gap(self.tol, null), max_iter=self.max_iter, start=problem.start,
            ), None  # fmt: skip
        else:
            if np.any(grid[:, 0] == 0):
                raise SettingError(f"alpha must be positive with loss={self.loss!r}; got 0.")
            loss, penalised = RowLoss(problem.table, self.loss, self.fit_intercept), problem.factors > 0
            null = loss.null
            path, intercept = mtrl_newton_path(
                loss,
                penalised,
                pairs,
                target=target_gap(self.tol, null),
                max_iter=self.max_iter,
                start=problem.start,
            )
        learned = {"task_covariance": covariances(path.coef, problem.factors)}
        exact = self.loss == "squared" or bool(np.all(problem.factors > 0))
        measure = "duality gap" if exact else "Newton decrement"
        return Solution(path.coef, path.gap, null, path.n_iter, intercept, learned, measure)


@dataclass(eq=False, repr=False, kw_only=True)
class MTRL(FixedPenaltyModel, _MTRL):
    """Task-relationship learning: the covariance Ω of the tasks is learned with their coefficients A.

    Minimises ``Σ_t Σ_i w_i (y_i − x_i·a_t − b_t)² + alpha (1 − sharing) ‖A‖_F² + alpha sharing / q · tr(A Ω⁻¹ Aᵀ)``
    over A (features × q tasks, columns a_t), the intercepts and Ω ⪰ 0 with tr Ω = 1 (Zhang & Yeung 2010, "A Convex
    Formulation for Learning Task Relationships in Multi-Task Learning"); with loss ℓ its first sum is 2 Σ w ℓ. The
    best Ω is ``(AᵀA)^{1/2} / tr (AᵀA)^{1/2}``, so tasks may turn out alike, opposite or unrelated, and the
    penalty on A is ``alpha [(1 − sharing) ‖A‖_F² + sharing / q · ‖A‖_*²]``, with the trace norm ‖·‖_*.

    The paper averages the n_t losses of each task and weighs the two penalties by λ₁/2 and λ₂/2: with equal n_t = n,
    alpha (1 − sharing) = n λ₁ / 2 and alpha sharing / q = n λ₂ / 2; with sample weights 1 / n_t, n = 1.

    Parameters
    ----------
    alpha : float
        Strength, zero or more, on the scale of `TaskRidge`, which this is for Ω = I / q at any sharing.
    sharing : float
        From 0, which is `TaskRidge(alpha)` of each task apart, to 1. Tasks with coefficients that are multiples of
        one vector then pay for it once, as in one ridge regression for the rows of all tasks.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, warm_start, tol, max_iter
        As in `LinearTaskModel`. Unpenalised features have no part in Ω.
    positive : bool
        Only False.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    task_covariance_ : (q, q) array
        Ω, of trace one, for features and targets as they are scaled in fitting; singular where tasks span fewer
        dimensions. `task_correlation_` is the same with ones on its diagonal.
    dual_gap_ : float
        Upper bound on how far the (scaled, halved) objective is from its minimum; `residual_` instead, where a loss
        other than squared meets unpenalised features: the gap plus what a Newton step in these promises.
    n_iter_ : int
        Rounds of the alternation, or Newton steps.
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    alpha: float = field(default=1.0, kw_only=False)
    sharing: float = field(default=0.8, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class MTRLCV(CrossValidatedModel, _MTRL):
    """Task-relationship learning with its strength and degree of sharing chosen by cross-validation.

    The objective is that of `MTRL`. The pair with the least error over all tasks (of scaled targets if
    `scale_targets`) is chosen.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`; 15 strengths by default.
    sharings : list of float in [0, 1]
        Degrees of sharing to choose from.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `MTRL`; `tol` is that of a fold's fit.

    Attributes
    ----------
    alpha_, sharing_ : float
        The chosen pair.
    grid_ : (k, 2) array
        The pairs (alpha, sharing) tried.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units (`deviance_path_` for other losses); NaN where a fold tested no
        label of a task.
    coef_, intercept_, task_covariance_, dual_gap_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `MTRL`.
    """

    sharings: Any = SHARING
