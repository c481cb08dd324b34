"""Trace-norm regression: the coefficients of all tasks lie near a space of few dimensions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from polytask.linear.base import FixedPenaltyModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.estimators.proximal_model import ProximalModel
from polytask.linear.grids import decreasing, default_eps, largest_penalty
from polytask.linear.paths import Solution
from polytask.linear.penalties import trace_norm
from polytask.linear.penalties.base import Penalty
from polytask.linear.problem import Problem, is_wide
from polytask.linear.solvers.trace_norm import trace_norm_path

#: Why the spectral penalties can't be combined with B ≥ 0.
NO_SIGNS = "singular values depend on all coefficients together, so their prox has no form with signs"


@dataclass(eq=False, repr=False, kw_only=True)
class _TraceNorm(ProximalModel):
    """Σ_t Σ w ℓ(y, xb_t) / m + α Σ_i σ_i(B), m the mean weight of a task's labels."""

    can: ClassVar[Capabilities] = Capabilities(losses=("squared", "logistic", "poisson"), positive=NO_SIGNS)

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        if problem.loss != "squared" or is_wide(problem.data):
            return super()._solve(problem, grid)
        # Dividing the losses by m is the same as multiplying the penalty.
        moments, unit = problem.moments, problem.mean_weight
        path = trace_norm_path(
            moments.gram, moments.pattern, moments.xty, float(moments.yty.sum()), grid * unit,
            start=problem.start, tol=self.tol, max_iter=self.max_iter,
        )  # fmt: skip
        learned = self._learned(problem, path.coef[:, None])
        return Solution(path.coef, path.gap / unit, path.null / unit, path.n_iter, learned=learned)

    def _penalties_at(self, problem: Problem, point: np.ndarray, unit: float) -> list[Penalty]:
        return [trace_norm.TraceNorm(float(point) * unit, problem.factors)]

    def _learned(self, problem: Problem, components: np.ndarray) -> dict[str, np.ndarray]:
        penalised = components[:, 0][:, :, problem.factors > 0]
        return {"rank": np.array([trace_norm.numerical_rank(coef) for coef in penalised])}

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        largest = largest_penalty(problem, trace_norm.spectral_norm)
        return decreasing(largest, n_points or 50, eps or default_eps(problem))


@dataclass(eq=False, repr=False, kw_only=True)
class TraceNorm(FixedPenaltyModel, _TraceNorm):
    """Regression of several tasks with the trace norm of their coefficients, which makes them low-rank.

    Minimises ``Σ_t Σ_i w_i ℓ(y_it, x_i·b_t + b0_t) / m + alpha Σ_i σ_i(B)`` over the labels that are present,
    σ_i the singular values of the (tasks × features) coefficients, m the mean over tasks of their total
    weight (Yuan, Ekici, Lu & Monteiro 2007, in its penalised form; Ji & Ye 2009). Convex; `ReducedRank` fixes
    the rank instead.

    Parameters
    ----------
    alpha : float
        Penalty; positive.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, warm_start, tol, max_iter
        As in `LinearTaskModel`. Unpenalised features are no part of the matrix that is made low-rank.
    positive : bool
        Only False.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    rank_ : int
        Of the penalised coefficients: singular values above a millionth of the largest.
    dual_gap_ : float
        Upper bound on how far the (scaled) objective is from its minimum.
    n_iter_ : int
        Rounds of `solvers.trace_norm` for squared loss; proximal gradient steps otherwise.
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    alpha: float = field(default=1.0, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class TraceNormCV(CrossValidatedModel, _TraceNorm):
    """Trace-norm regression with its penalty chosen by cross-validation.

    The objective is that of `TraceNorm`; the penalty with the least error over all tasks is chosen.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`. By default 50 values from the least penalty at which all coefficients are
        zero, to 0.001 of it, or 0.01 with fewer labels than features.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `TraceNorm`; `tol` is that of a fold's fit.

    Attributes
    ----------
    alpha_ : float
    alphas_ : (k,) array
        The penalties tried, decreasing.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units (`deviance_path_` for other losses); NaN where a fold tested
        no label of a task.
    coef_, intercept_, rank_, dual_gap_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `TraceNorm`.
    """
