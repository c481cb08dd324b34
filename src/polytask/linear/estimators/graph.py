"""Graph-regularized multi-task models: tasks that are linked in a given graph have similar coefficients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.linear.base import FixedPenaltyModel
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.estimators.coupled_model import CoupledModel
from polytask.linear.estimators.task_graph import laplacian, task_graph
from polytask.linear.grids import decreasing, largest_ridge
from polytask.linear.penalty import check_penalty
from polytask.linear.problem import Problem
from polytask.linear.solvers.task_penalty import TaskPenalty

#: Default strengths to choose from: from tasks on their own to nearly one vector for linked tasks.
STRENGTHS = (0.0, 0.1, 1.0, 10.0, 100.0)


@dataclass(eq=False, repr=False, kw_only=True)
class _GraphRegularized(CoupledModel):
    """Σ_t Σ w ℓ(y, x a_t) + (α/2) [‖A‖² + γ Σ_{s<t} g_st ‖a_s − a_t‖²], on a grid of (α, γ)."""

    penalties = ("alpha", "graph_strength")
    tries: ClassVar[dict[str, tuple[float, ...]]] = {"graph_strength": STRENGTHS}

    graph: Any = "chain"

    def _task_penalties(self, problem: Problem, grid: np.ndarray) -> list[TaskPenalty]:
        values, vectors = np.linalg.eigh(laplacian(task_graph(self.graph, problem.task_names)))
        values = np.maximum(values, 0.0)
        return [TaskPenalty(alpha * (1 + strength * values), vectors) for alpha, strength in grid]

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        return decreasing(largest_ridge(problem), n_points or 15, eps or 1e-7)

    def _check_penalties(self, name: str, values: Any) -> np.ndarray:
        return check_penalty(values, name, positive=False)


@dataclass(eq=False, repr=False, kw_only=True)
class GraphRegularized(FixedPenaltyModel, _GraphRegularized):
    """Regression of several tasks, of which those linked in a graph are drawn towards each other.

    Minimises ``Σ_t Σ_i w_i (y_i − x_i·a_t − b_t)² + alpha [‖A‖² + graph_strength Σ_{s<t} g_st ‖a_s − a_t‖²]``
    with g the weights of the graph (Evgeniou, Micchelli & Pontil 2005, "Learning multiple tasks with kernel
    methods", section 3.1.3, whose regulariser Σ_st A_st ‖a_s − a_t‖² + Σ_s A_ss ‖a_s‖² counts every pair
    twice). For other losses it is ``Σ_t Σ_i w_i ℓ`` and half of the penalty. A chain of tasks in the order of
    time is temporal smoothness (Zhou, Yuan, Liu & Ye 2011). The complete graph is `MeanRegularized` with
    sharing s and ridge strength α: alpha = α / (1 − s + T s), graph_strength = s / (1 − s).

    With complete squared-loss data the solution is a closed form; tasks with rows of their own are solved by
    preconditioned conjugate gradients to a relative duality gap of 1e-15, other losses by Newton's method.

    Parameters
    ----------
    alpha : float
        Ridge strength, positive, on the scale of `TaskRidge`.
    graph_strength : float
        Penalty of differences, as a multiple of alpha: 0 is `TaskRidge(alpha)`; as it grows, all tasks of a
        connected part come to have one vector.
    graph : "chain", "complete", (q, q) array, DataFrame, mapping or list
        Each task linked with the next; all tasks linked; symmetric weights; weights with task names as index and
        columns; {(task, task): weight}; or a list of (task, task) or (task, task, weight).
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `LinearTaskModel`.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    dual_gap_ : float
        Upper bound on how far the (scaled) objective is from its minimum, where it is found by iteration.
        `residual_` with positive coefficients, or with unpenalised features and other losses than squared.
    n_iter_ : int
        Newton steps; projected gradient steps with positive coefficients.
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    alpha: float = field(default=1.0, kw_only=False)
    graph_strength: float = field(default=1.0, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class GraphRegularizedCV(CrossValidatedModel, _GraphRegularized):
    """Graph-regularized regression with both penalties chosen by cross-validation.

    The objective is that of `GraphRegularized`.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`; 15 ridge strengths by default.
    graph_strengths : list of float
        Penalties of differences to choose from, as multiples of alpha.
    graph, loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `GraphRegularized`.

    Attributes
    ----------
    alpha_, graph_strength_ : float
        The chosen pair.
    grid_ : (k, 2) array
        The pairs (alpha, graph_strength) tried.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units (`deviance_path_` for other losses); NaN where a fold tested
        no label of a task.
    coef_, intercept_, dual_gap_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `GraphRegularized`.
    """

    graph_strengths: Any = STRENGTHS
