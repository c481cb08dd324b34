"""Fused lasso across tasks: linked tasks have equal coefficients unless the data insist."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from polytask.linear.base import FixedPenaltyModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.estimators.proximal_model import ProximalModel
from polytask.linear.estimators.task_graph import task_graph
from polytask.linear.grids import decreasing, default_eps
from polytask.linear.paths import Solution
from polytask.linear.penalties.base import Penalty
from polytask.linear.penalties.fused import Fused
from polytask.linear.penalty import shares
from polytask.linear.problem import Problem
from polytask.linear.solvers.free_directions import FreeDirections

#: Default shares of sparsity to choose from.
SHARES = (0.1, 0.5, 0.9)


@dataclass(eq=False, repr=False, kw_only=True)
class _FusedTasks(ProximalModel):
    """Σ_t Σ w ℓ / m + α Σ_j [r Σ_t |b_tj| + (1 − r) Σ_{s<t} g_st |b_sj − b_tj|], on a grid of (α, r)."""

    can: ClassVar[Capabilities] = Capabilities(losses=("squared", "logistic", "poisson"))
    penalties = ("alpha", "l1_ratio")
    tries: ClassVar[dict[str, tuple[float, ...]]] = {"l1_ratio": SHARES}

    graph: Any = "chain"

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        # The penalty holds the constraint itself: a cut at zero must come after the fusion.
        return super()._solve(replace(problem, positive=False), grid)

    def _penalties_at(self, problem: Problem, point: np.ndarray, unit: float) -> list[Penalty]:
        return [self._penalty(problem, point[0] * unit, point[1])]

    def _penalty(self, problem: Problem, strength: float, share: float) -> Fused:
        weights = strength * (1 - share) * task_graph(self.graph, problem.task_names)
        return Fused(strength * share, weights, problem.factors, self.positive)

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        # The penalty is zero at these blocks' numbers alone, and at its strongest they are all that is left.
        penalty = self._penalty(problem, 1.0, others["l1_ratio"])
        blocks = penalty.common_blocks((problem.n_tasks, problem.n_features))
        best = problem.best_along(blocks)
        strengths = penalty.strengths_to_zero(best.slope)
        if penalty.sparsity == 0:
            # Positive numbers may fall as well as rise.
            both_ways = Fused(0.0, penalty.weights, problem.factors)
            settled = both_ways.strengths_to_zero(FreeDirections(blocks).without(best.slope))
            strengths = np.where(best.coef.any(axis=0), settled, strengths) if self.positive else settled
        largest = strengths[problem.factors > 0].max(initial=0.0) / problem.mean_weight
        return decreasing(largest if largest > 0 else 1.0, n_points or 30, eps or default_eps(problem))

    def _check_penalties(self, name: str, values: Any) -> np.ndarray:
        return shares(values, name, "0 (differences alone are penalised) and 1 (the lasso)")


@dataclass(eq=False, repr=False, kw_only=True)
class FusedTasks(FixedPenaltyModel, _FusedTasks):
    """Sparse regression of several tasks, with equal coefficients in linked tasks unless the data insist.

    Minimises ``Σ_t Σ_i w_i (y_it − x_i·b_t − b0_t)² / (2m) + alpha Σ_j [r Σ_t |b_tj| + (1 − r) Σ_{s<t} g_st
    |b_sj − b_tj|]`` with r = `l1_ratio`, g the weights of the graph and m the mean over tasks of their total
    weight: the fused lasso (Tibshirani, Saunders, Rosset, Zhu & Knight 2005) across tasks instead of features.
    On a chain of tasks in the order of time the coefficients are piecewise constant in time, as in models of
    disease progression (Zhou, Liu, Narayan & Ye 2012, without their group term).

    Proximal gradients, with exact proximal maps: dynamic programming on a chain, minimum cuts on other graphs, which
    suit tens of tasks.

    Parameters
    ----------
    alpha : float
        Penalty; positive.
    l1_ratio : float in [0, 1]
        Share of the absolute coefficients; 1 is the lasso, 0 penalises differences alone.
    graph : "chain", "complete", (q, q) array, DataFrame, mapping or list
        As in `GraphRegularized`.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `LinearTaskModel`.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    dual_gap_ : float
        Upper bound on how far the (scaled) objective is from its minimum. `residual_`, an optimality residual, with
        positive coefficients at l1_ratio = 0, or where some are unpenalised.
    n_iter_ : int
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    alpha: float = field(default=1.0, kw_only=False)
    l1_ratio: float = field(default=0.5, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class FusedTasksCV(CrossValidatedModel, _FusedTasks):
    """Fused lasso across tasks with both penalties chosen by cross-validation.

    The objective is that of `FusedTasks`.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`; 30 penalties by default.
    l1_ratios : list of float in [0, 1]
        Shares of the absolute coefficients to choose from.
    graph, loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `FusedTasks`.

    Attributes
    ----------
    alpha_, l1_ratio_ : float
        The chosen pair.
    grid_ : (k, 2) array
        The pairs (alpha, l1_ratio) tried.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units (`deviance_path_` for other losses); NaN where a fold tested
        no label of a task.
    coef_, intercept_, dual_gap_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `FusedTasks`.
    """

    l1_ratios: Any = SHARES
