"""Robust multi-task feature learning: tasks that share features, and outlier tasks that go their own way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.linear.base import FixedPenaltyModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.estimators.decomposition import DecomposedModel, tasks_with_coefficients
from polytask.linear.penalties.base import Penalty
from polytask.linear.penalties.group import Group
from polytask.linear.penalties.task_group import TaskGroup
from polytask.linear.problem import Problem

#: Default shares to choose from: from the group lasso to each task on its own.
OUTLIER_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(eq=False, repr=False, kw_only=True)
class _RobustFeatures(DecomposedModel):
    """λ₁ Σ_j ‖P_j‖₂ + λ₂ Σ_t ‖q_t‖₂ with λ₁ = alpha, λ₂ = alpha √p^(1 − s) / √T^s, s = outlier_share."""

    can: ClassVar[Capabilities] = Capabilities(losses=("squared", "logistic", "poisson"))
    penalties = ("alpha", "outlier_share")
    tries: ClassVar[dict[str, tuple[float, ...]]] = {"outlier_share": OUTLIER_SHARES}
    parts = ("shared_coef", "outlier_coef")
    ends = "0 (the shared features alone, a group lasso) and 1 (the part of outlier tasks alone)"

    def _ratio(self, n_tasks: int, n_features: int, share: float) -> float:
        # Σ_j ‖M_j‖ ≤ √p Σ_t ‖m_t‖: with λ₂ ≥ √p λ₁ nothing is gained by Q; with λ₁ ≥ √T λ₂ nothing by P.
        return float(n_features) ** ((1 - share) / 2) * float(n_tasks) ** (-share / 2)

    def _pair(self, first: float, second: float, factors: np.ndarray) -> list[Penalty]:
        return [Group(first, factors), TaskGroup(second, factors)]

    def _findings(self, problem: Problem, components: np.ndarray) -> dict[str, np.ndarray]:
        return {"outlier_tasks": tasks_with_coefficients(problem, components[:, 1])}


@dataclass(eq=False, repr=False, kw_only=True)
class RobustFeatures(FixedPenaltyModel, _RobustFeatures):
    """Regression of several tasks that share their features, but for some outlier tasks.

    Minimises ``Σ_t Σ_i w_i ℓ(y_it, x_i·b_t + b0_t) / m + λ₁ Σ_j ‖P_j‖₂ + λ₂ Σ_t ‖q_t‖₂`` with B = P + Q, P_j
    the coefficients of feature j in all tasks, q_t those of task t for all features, and m the mean over
    tasks of their total weight (Gong, Ye & Zhang 2012, "Robust multi-task feature learning"). The penalties
    are set through the strength of the shared part, λ₁ = alpha, and a share:
    λ₂ = alpha √p^(1 − outlier_share) / √T^outlier_share for p penalised features and T tasks, which goes
    through all that the model can be. The paper divides every task's loss by its own number of rows; here all rows
    count alike, which is the same where tasks have as many.

    Parameters
    ----------
    alpha : float
        λ₁; positive.
    outlier_share : float
        From 0, where Q adds nothing and the model is `GroupLasso(alpha)`, to 1, where P adds nothing and
        every task has a group penalty of its own.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `LinearTaskModel`. Unpenalised features are put down to the shared part.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    outlier_tasks_ : tuple of str
        The tasks with any coefficient in Q. The weaker λ₂, the more of them: at the penalty that predicts
        best a few may be outliers only a little, which the norms of `outlier_coef_` show.
    shared_coef_, outlier_coef_ : (q, p) arrays
        P and Q, in the units of `coef_`, which is their sum. The sum is what the objective determines; the
        split need not be unique.
    dual_gap_ : float
        Upper bound on how far the (scaled) objective is from its minimum; `residual_`, the optimality
        residual, instead where coefficients are positive and some unpenalised.
    n_iter_ : int
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    alpha: float = field(default=1.0, kw_only=False)
    outlier_share: float = field(default=0.5, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class RobustFeaturesCV(CrossValidatedModel, _RobustFeatures):
    """Robust multi-task feature learning with strength and share chosen by cross-validation.

    The objective is that of `RobustFeatures`; the pair with the least error over all tasks is chosen.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`. By default, for every share, 20 values from the least penalty at which all
        coefficients are zero, to 0.001 of it, or 0.01 with fewer labels than features.
    outlier_shares : list of float in [0, 1]
        Shares to choose from.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `RobustFeatures`; `tol` is that of a fold's fit.

    Attributes
    ----------
    alpha_, outlier_share_ : float
        The chosen pair.
    grid_ : (k, 2) array
        The pairs (alpha, outlier_share) tried.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units (`deviance_path_` for other losses); NaN where a fold tested
        no label of a task.
    outlier_tasks_, shared_coef_, outlier_coef_
        As in `RobustFeatures`.
    coef_, intercept_, dual_gap_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `RobustFeatures`.
    """

    outlier_shares: Any = OUTLIER_SHARES
