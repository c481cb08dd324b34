"""Group MCP: the multi-task lasso without its bias towards zero."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.linear.base import FixedPenaltyModel
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.estimators.concave_model import ConcaveModel
from polytask.linear.penalties.mcp import MCP


@dataclass(eq=False, repr=False, kw_only=True)
class _GroupMCP(ConcaveModel):
    """Σ_t Σ w ℓ(y, xb_t) / m + Σ_j MCP(‖B_j‖₂; α, γ), m the mean weight of a task's labels."""

    tries: ClassVar[dict[str, tuple[float, ...]]] = {"gamma": (3.0,)}
    least_gamma: ClassVar[float] = 1.0

    def _concave_at(self, alpha: float, gamma: float, factors: np.ndarray, scale: float) -> MCP:
        return MCP(alpha, gamma, factors, scale)


@dataclass(eq=False, repr=False, kw_only=True)
class GroupMCP(FixedPenaltyModel, _GroupMCP):
    """Multi-task regression with the minimax concave penalty of each feature's coefficients across tasks.

    Minimises ``Σ_t Σ_i w_i ℓ(y_it, x_i·b_t + b0_t) / m + Σ_j pen(‖B_j‖₂)`` over the labels that are present, with
    ``pen(t) = alpha t − t² / (2 gamma)`` up to t = gamma alpha and constant beyond, B_j the coefficients of feature j
    in all tasks, m the mean over tasks of their total weight (Breheny & Huang 2015; Huang, Breheny & Ma 2012). Weak
    features are dropped as by `GroupLasso`; strong ones are not shrunk at all.

    The penalty is not convex: the solution is a stationary point, a local minimum as a rule, that steps of local
    linear approximation reach from the group lasso (Zou & Li 2008).

    Parameters
    ----------
    alpha : float
        Penalty; positive.
    gamma : float
        Above 1. The larger, the nearer to `GroupLasso` and the fewer the local minima. It is meant for features of
        unit variance: set ``standardize=True`` for others.
    penalty_factors : (p,) array, optional
        Multiplies the alpha of each feature; 0 leaves it unpenalised.
    warm_start : bool
        Start from the coefficients of the last fit in place of the group lasso.
    tol : float
        Stop when the optimality residual is at most tol times the norm of the gradient at zero coefficients.
    loss, fit_intercept, standardize, scale_targets, positive, max_iter
        As in `LinearTaskModel`.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    residual_ : float
        Norm of the (scaled) objective's proximal gradient, zero only at stationary points.
    n_iter_ : int
        Tangent problems and gradient steps.
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    alpha: float = field(default=1.0, kw_only=False)
    gamma: float = field(default=3.0, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class GroupMCPCV(CrossValidatedModel, _GroupMCP):
    """Group MCP with its penalties chosen by cross-validation.

    The objective is that of `GroupMCP`. Errors on a fold are quadratic forms in its moments.

    Parameters
    ----------
    gammas : list of float above 1
        Values of gamma to choose from.
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`. By default 50 values for each of the gammas, from the least penalty at which
        zero coefficients are stationary, to 0.001 of it, or 0.01 with fewer labels than features.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `GroupMCP`; `tol` is that of a fold's fit.

    Attributes
    ----------
    alpha_, gamma_ : float
    grid_ : (k, 2) array
        The penalties alpha, gamma tried.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units (`deviance_path_` for other losses); NaN where a fold tested no
        label of a task.
    coef_, intercept_, residual_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `GroupMCP`.
    """

    gammas: Any = (3.0,)
