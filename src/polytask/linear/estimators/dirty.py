"""The dirty model: some features are used by all tasks, and some tasks use features of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.linear.base import FixedPenaltyModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.estimators.decomposition import DecomposedModel
from polytask.linear.penalties.base import Penalty
from polytask.linear.penalties.block_norm import BlockNorm
from polytask.linear.penalties.l1 import L1

#: Default shares to choose from: from one support for all tasks to the lasso.
SPARSE_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(eq=False, repr=False, kw_only=True)
class _Dirty(DecomposedModel):
    """λ₁‖S‖₁ + λ₂‖R‖₁,∞ with λ₁ = alpha, λ₂ = alpha q^sparse_share."""

    can: ClassVar[Capabilities] = Capabilities(losses=("squared", "logistic", "poisson"))
    penalties = ("alpha", "sparse_share")
    tries: ClassVar[dict[str, tuple[float, ...]]] = {"sparse_share": SPARSE_SHARES}
    parts = ("shared_coef", "sparse_coef")
    ends = "0 (the shared part alone, an L1/L∞ norm) and 1 (the sparse part alone, a lasso)"

    def _ratio(self, n_tasks: int, n_features: int, share: float) -> float:
        # ‖r‖_∞ ≤ ‖r‖₁ ≤ q ‖r‖_∞ for a feature's coefficients r: with λ₁ ≥ λ₂ nothing is gained by S, with
        # λ₂ ≥ q λ₁ nothing by R.
        return float(n_tasks) ** -share

    def _pair(self, first: float, second: float, factors: np.ndarray) -> list[Penalty]:
        return [BlockNorm(first, factors, order=np.inf), L1(second, factors)]


@dataclass(eq=False, repr=False, kw_only=True)
class DirtyModel(FixedPenaltyModel, _Dirty):
    """Regression of several tasks whose coefficients are a block-sparse part plus a sparse part.

    Minimises ``Σ_t Σ_i w_i ℓ(y_it, x_i·b_t + b0_t) / m + λ₁ ‖S‖₁ + λ₂ ‖R‖_{1,∞}`` with B = S + R (Jalali,
    Ravikumar, Sanghavi & Ruan 2010), where ‖R‖_{1,∞} sums the largest absolute coefficient of every feature,
    and m is the mean over tasks of their total weight. The penalties are set through the strength of the shared
    part, λ₂ = alpha, and a share: λ₁ = alpha / T^sparse_share for T tasks, which goes through all that the
    model can be.

    Parameters
    ----------
    alpha : float
        λ₂; positive.
    sparse_share : float
        From 0, where S adds nothing and the penalty is alpha ‖B‖_{1,∞}, to 1, where R adds nothing and it is
        (alpha / T) ‖B‖₁, a lasso.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `LinearTaskModel`. Unpenalised features are put down to the shared part.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    shared_coef_, sparse_coef_ : (q, p) arrays
        R and S, in the units of `coef_`, which is their sum. The sum is what the objective determines; the
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
    sparse_share: float = field(default=0.5, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class DirtyModelCV(CrossValidatedModel, _Dirty):
    """Dirty model with strength and share chosen by cross-validation.

    The objective is that of `DirtyModel`; the pair with the least error over all tasks is chosen.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`. By default, for every share, 20 values from the least penalty at which all
        coefficients are zero, to 0.001 of it, or 0.01 with fewer labels than features.
    sparse_shares : list of float in [0, 1]
        Shares to choose from.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `DirtyModel`; `tol` is that of a fold's fit.

    Attributes
    ----------
    alpha_, sparse_share_ : float
        The chosen pair.
    grid_ : (k, 2) array
        The pairs (alpha, sparse_share) tried.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units (`deviance_path_` for other losses); NaN where a fold tested
        no label of a task.
    coef_, intercept_, shared_coef_, sparse_coef_, dual_gap_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `DirtyModel`.
    """

    sparse_shares: Any = SPARSE_SHARES
