"""Convex clustered multi-task models: which tasks are alike is learned with their coefficients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.errors import SettingError
from polytask.linear.base import FixedPenaltyModel, LinearTaskModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.estimators.positive import positive_path
from polytask.linear.estimators.row_space import solve_in_row_space
from polytask.linear.grids import decreasing, largest_ridge
from polytask.linear.losses.clustered import Clustered
from polytask.linear.losses.gram import GramLoss
from polytask.linear.losses.rows import RowLoss
from polytask.linear.paths import CoefPath, Solution
from polytask.linear.penalty import check_penalty
from polytask.linear.problem import Problem
from polytask.linear.solvers.cluster_penalty import ClusterPenalty, cluster_labels
from polytask.linear.solvers.clustered import clustered_path

#: Default strengths to choose from: from tasks on their own to clusters of nearly one vector each.
STRENGTHS = (0.0, 1.0, 10.0, 100.0)


@dataclass(eq=False, repr=False, kw_only=True)
class _ConvexClustered(LinearTaskModel):
    """Σ_t Σ w ℓ + (α/2)(1 + γ) tr(Bᵀ (I + γM)⁻¹ B), tr M = k, 0 ⪯ M ⪯ I, on a grid of (α, γ)."""

    can: ClassVar[Capabilities] = Capabilities(losses=("squared", "logistic", "poisson"))
    penalties = ("alpha", "cluster_strength")
    tries: ClassVar[dict[str, tuple[float, ...]]] = {"cluster_strength": STRENGTHS}
    penalty_degree = 2

    n_clusters: int = 2

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        n_clusters = self._clusters_of(problem.n_tasks)
        penalties = [ClusterPenalty(alpha, strength, n_clusters) for alpha, strength in grid]
        if problem.positive:
            losses = [Clustered(problem.smooth, penalty, problem.factors) for penalty in penalties]
            found = positive_path(problem, losses, self.tol, self.max_iter)
        else:
            found = solve_in_row_space(problem, self._alternation(penalties))
        found.learned.update(_clusters(found.coef[:, :, problem.factors > 0], penalties))
        return found

    def _alternation(self, penalties: list[ClusterPenalty]) -> Callable[[Problem], Solution]:
        def solve(problem: Problem) -> Solution:
            loss = problem.smooth
            assert isinstance(loss, (GramLoss, RowLoss))
            path = clustered_path(
                loss, penalties, problem.factors, start=problem.start, tol=self.tol, max_iter=self.max_iter
            )
            intercept = None if problem.loss == "squared" else path.intercept
            # The objective of squared loss is documented without its half.
            unit = 2.0 if problem.loss == "squared" else 1.0
            return Solution(path.coef, unit * path.gap, unit * loss.null, path.n_iter, intercept)

        return solve

    def _clusters_of(self, n_tasks: int) -> int:
        k = self.n_clusters
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise SettingError(f"n_clusters must be a whole number of one or more; got {k!r}.")
        return min(int(k), n_tasks)

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        return decreasing(largest_ridge(problem), n_points or 15, eps or 1e-7)

    def _check_penalties(self, name: str, values: Any) -> np.ndarray:
        return check_penalty(values, name, positive=False)

    def _learned_in_units(
        self, learned: dict[str, np.ndarray], unit: np.ndarray, y_scale: np.ndarray
    ) -> dict[str, np.ndarray]:
        return {**learned, "task_covariance": learned["task_covariance"] * np.outer(y_scale, y_scale)}

    def _set_path_end(self, path: CoefPath) -> None:
        super()._set_path_end(path)
        labels = np.asarray(path.learned["groups"][-1])
        names = np.array(self.task_names_, dtype=object)
        self.groups_ = tuple(tuple(names[labels == label]) for label in np.unique(labels))


def _clusters(coef: np.ndarray, penalties: list[ClusterPenalty]) -> dict[str, np.ndarray]:
    """The groups of the tasks (k, q) and their prior covariances times alpha (k, q, q), from penalised features."""
    groups, covariances = [], []
    for B, penalty in zip(coef, penalties):
        groups.append(cluster_labels(B, penalty.n_clusters))
        M = penalty.cluster_matrix(B)
        covariances.append((np.eye(len(M)) + penalty.strength * M) / (1 + penalty.strength))
    return {"groups": np.stack(groups), "task_covariance": np.stack(covariances)}


@dataclass(eq=False, repr=False, kw_only=True)
class ConvexClustered(FixedPenaltyModel, _ConvexClustered):
    """Regression of several tasks that fall into clusters, which are learned.

    Minimises ``Σ_t Σ_i w_i (y_i − x_i·a_t − b_t)² + alpha (1 + γ) tr(A (I + γM)⁻¹ Aᵀ)`` over the coefficients A
    (p, q) and the cluster matrix M (q, q), tr M = n_clusters and 0 ⪯ M ⪯ I, with γ = `cluster_strength`
    (Jacob, Bach & Vert 2008, "Clustered multi-task learning: a convex formulation"). For other losses it is
    ``Σ_t Σ_i w_i ℓ`` and half of the penalty. In the letters of Zhou, Chen & Ye 2011, whose penalty is
    ρ₁ η (1 + η) tr(A (ηI + M)⁻¹ Aᵀ) with η = ρ₂/ρ₁: alpha = ρ₂ and γ = ρ₁/ρ₂.

    If M is the projection on the indicators of the clusters, the penalty is ridge of strength alpha on the mean
    vector of each cluster and alpha (1 + γ) on what tasks deviate from it. M is relaxed to make the problem
    convex, and what is found is the global minimum.

    Parameters
    ----------
    alpha : float
        Ridge strength, positive, on the scale of `TaskRidge`.
    cluster_strength : float
        γ, zero or more; 0 is `TaskRidge(alpha)`.
    n_clusters : int
        With as many as there are tasks, or more, it is `TaskRidge(alpha)`.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `LinearTaskModel`.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    groups_ : tuple of tuples of str
        The tasks of each cluster, as the leading singular vectors of the coefficients tell them apart. Tasks of
        opposite coefficients lie in one direction and so in one cluster.
    task_covariance_ : (q, q) array
        (I + γM) / (1 + γ), times the targets' scales: the prior covariance of a feature's coefficients in the
        tasks, as a multiple of 1/alpha.
    dual_gap_ : float
        Upper bound on how far the (scaled) objective is from its minimum; `residual_` with positive coefficients.
    n_iter_ : int
        Rounds; projected gradient steps with positive coefficients.
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    alpha: float = field(default=1.0, kw_only=False)
    cluster_strength: float = field(default=10.0, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class ConvexClusteredCV(CrossValidatedModel, _ConvexClustered):
    """Convex clustered regression with both penalties chosen by cross-validation.

    The objective is that of `ConvexClustered`.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`; 15 ridge strengths by default.
    cluster_strengths : list of float
        Values of γ to choose from.
    n_clusters, loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `ConvexClustered`.

    Attributes
    ----------
    alpha_, cluster_strength_ : float
        The chosen pair.
    grid_ : (k, 2) array
        The pairs (alpha, cluster_strength) tried.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units (`deviance_path_` for other losses); NaN where a fold tested
        no label of a task.
    coef_, intercept_, groups_, task_covariance_, dual_gap_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `ConvexClustered`.
    """

    cluster_strengths: Any = STRENGTHS
