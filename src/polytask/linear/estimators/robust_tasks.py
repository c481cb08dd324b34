"""Robust multi-task regression: tasks of low rank together, and outlier tasks that go their own way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.linear.base import FixedPenaltyModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.estimators.decomposition import DecomposedModel, tasks_with_coefficients
from polytask.linear.estimators.trace_norm import NO_SIGNS
from polytask.linear.penalties.base import Penalty
from polytask.linear.penalties.task_group import TaskGroup
from polytask.linear.penalties.trace_norm import TraceNorm, numerical_rank
from polytask.linear.problem import Problem

#: Default shares to choose from: from the trace norm alone to each task on its own.
OUTLIER_SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)


@dataclass(eq=False, repr=False, kw_only=True)
class _RobustTasks(DecomposedModel):
    """λ_L ‖L‖_* + λ_S Σ_t ‖s_t‖₂ with λ_L = alpha, λ_S = alpha / √q^outlier_share."""

    can: ClassVar[Capabilities] = Capabilities(losses=("squared", "logistic", "poisson"), positive=NO_SIGNS)
    penalties = ("alpha", "outlier_share")
    tries: ClassVar[dict[str, tuple[float, ...]]] = {"outlier_share": OUTLIER_SHARES}
    parts = ("low_rank_coef", "outlier_coef")
    ends = "0 (the low-rank part alone) and 1 (the part of outlier tasks alone)"

    def _ratio(self, n_tasks: int, n_features: int, share: float) -> float:
        # ‖M‖_* ≤ Σ_t ‖m_t‖₂ ≤ √q ‖M‖_*: with λ_S ≥ λ_L nothing is gained by S, with λ_L ≥ √q λ_S nothing by L.
        return float(n_tasks) ** (-share / 2)

    def _pair(self, first: float, second: float, factors: np.ndarray) -> list[Penalty]:
        return [TraceNorm(first, factors), TaskGroup(second, factors)]

    def _findings(self, problem: Problem, components: np.ndarray) -> dict[str, np.ndarray]:
        ranks = np.array([numerical_rank(low_rank) for low_rank in components[:, 0]])
        return {"rank": ranks, "outlier_tasks": tasks_with_coefficients(problem, components[:, 1])}


@dataclass(eq=False, repr=False, kw_only=True)
class RobustTasks(FixedPenaltyModel, _RobustTasks):
    """Regression of several tasks whose coefficients are of low rank, but for some outlier tasks.

    Minimises ``Σ_t Σ_i w_i ℓ(y_it, x_i·b_t + b0_t) / m + λ_L Σ_i σ_i(L) + λ_S Σ_t ‖s_t‖₂`` with B = L + S,
    s_t the coefficients of task t in S, and m the mean over tasks of their total weight (Chen, Zhou & Ye
    2011, "Integrating low-rank and group-sparse structures for robust multi-task learning"; α and β there).
    The penalties are set through the strength of the low-rank part, λ_L = alpha, and a share:
    λ_S = alpha / T^(outlier_share / 2) for T tasks, which goes through all that the model can be.

    Parameters
    ----------
    alpha : float
        λ_L; positive.
    outlier_share : float
        From 0, where S adds nothing and the model is `TraceNorm(alpha)`, to 1, where L adds nothing and every
        task has a group penalty of its own.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, warm_start, tol, max_iter
        As in `LinearTaskModel`. Unpenalised features are put down to the low-rank part.
    positive : bool
        Only False.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    outlier_tasks_ : tuple of str
        The tasks with any coefficient in S. The weaker λ_S, the more of them: at the penalty that predicts
        best a few may be outliers only a little, which the norms of `outlier_coef_` show.
    low_rank_coef_, outlier_coef_ : (q, p) arrays
        L and S, in the units of `coef_`, which is their sum. The sum is what the objective determines; the
        split need not be unique.
    rank_ : int
        Of the penalised coefficients of L: singular values above a millionth of the largest.
    dual_gap_ : float
        Upper bound on how far the (scaled) objective is from its minimum.
    n_iter_ : int
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    alpha: float = field(default=1.0, kw_only=False)
    outlier_share: float = field(default=0.25, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class RobustTasksCV(CrossValidatedModel, _RobustTasks):
    """Robust multi-task regression with strength and share chosen by cross-validation.

    The objective is that of `RobustTasks`; the pair with the least error over all tasks is chosen.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`. By default, for every share, 20 values from the least penalty at which all
        coefficients are zero, to 0.001 of it, or 0.01 with fewer labels than features.
    outlier_shares : list of float in [0, 1]
        Shares to choose from.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `RobustTasks`; `tol` is that of a fold's fit.

    Attributes
    ----------
    alpha_, outlier_share_ : float
        The chosen pair.
    grid_ : (k, 2) array
        The pairs (alpha, outlier_share) tried.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units (`deviance_path_` for other losses); NaN where a fold tested
        no label of a task.
    outlier_tasks_, low_rank_coef_, outlier_coef_, rank_
        As in `RobustTasks`.
    coef_, intercept_, dual_gap_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `RobustTasks`.
    """

    outlier_shares: Any = OUTLIER_SHARES
