"""Group SCAD: the multi-task lasso that lets go of strong features little by little."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.linear.base import FixedPenaltyModel
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.estimators.concave_model import ConcaveModel
from polytask.linear.penalties.scad import SCAD


@dataclass(eq=False, repr=False, kw_only=True)
class _GroupSCAD(ConcaveModel):
    """Σ_t Σ w ℓ(y, xb_t) / m + Σ_j SCAD(‖B_j‖₂; α, γ), m the mean weight of a task's labels."""

    tries: ClassVar[dict[str, tuple[float, ...]]] = {"gamma": (3.7,)}
    least_gamma: ClassVar[float] = 2.0

    def _concave_at(self, alpha: float, gamma: float, factors: np.ndarray, scale: float) -> SCAD:
        return SCAD(alpha, gamma, factors, scale)


@dataclass(eq=False, repr=False, kw_only=True)
class GroupSCAD(FixedPenaltyModel, _GroupSCAD):
    """Multi-task regression with the SCAD penalty of each feature's coefficients across tasks.

    Minimises ``Σ_t Σ_i w_i ℓ(y_it, x_i·b_t + b0_t) / m + Σ_j pen(‖B_j‖₂)`` over the labels that are present, with
    ``pen(t) = alpha t`` up to t = alpha, a quadratic whose slope falls to zero at t = gamma alpha, and constant beyond;
    B_j are the coefficients of feature j in all tasks, m the mean over tasks of their total weight (Fan & Li 2001;
    Huang, Breheny & Ma 2012). Weak features are treated as by `GroupLasso`; strong ones are not shrunk at all.

    The penalty is not convex: the solution is a stationary point, a local minimum as a rule, that steps of local
    linear approximation reach from the group lasso (Zou & Li 2008).

    Parameters
    ----------
    alpha : float
        Penalty; positive.
    gamma : float
        Above 2. The larger, the nearer to `GroupLasso` and the fewer the local minima. It is meant for features of
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
    gamma: float = field(default=3.7, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class GroupSCADCV(CrossValidatedModel, _GroupSCAD):
    """Group SCAD with its penalties chosen by cross-validation.

    The objective is that of `GroupSCAD`. Errors on a fold are quadratic forms in its moments.

    Parameters
    ----------
    gammas : list of float above 2
        Values of gamma to choose from.
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`. By default 50 values for each of the gammas, from the least penalty at which
        zero coefficients are stationary, to 0.001 of it, or 0.01 with fewer labels than features.
    loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `GroupSCAD`; `tol` is that of a fold's fit.

    Attributes
    ----------
    alpha_, gamma_ : float
    grid_ : (k, 2) array
        The penalties alpha, gamma tried.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units (`deviance_path_` for other losses); NaN where a fold tested no
        label of a task.
    coef_, intercept_, residual_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `GroupSCAD`.
    """

    gammas: Any = (3.7,)
