"""Alternating minimisation for multivariate regression with covariance estimation (MRCE).

    min_{B, Ω≻0}  tr[(Y − XB)ᵀ(Y − XB)Ω]/n − log|Ω| + λ₁ Σ_{i≠j} |ω_ij| + λ₂ Σ |b_jk|

is convex in B (a lasso whose squared errors are weighted by Ω) and in Ω (the graphical lasso), not in both: what is
found is a point that neither step can lower, by more than the sum of the two steps' duality gaps. After each round
coefficients are tried further along their last move, and stay there where the objective is lower: it never increases.

The coefficient step is coordinate descent on XᵀX and XᵀY. With the gradient ΩR, R = S_xy − B S_xx (tasks in rows),

    b_tj ← soft(b_tj + (ΩR)_tj / (ω_tt s_jj),  λ₂ / (2 ω_tt s_jj)).

References
----------
Rothman, A. J., Levina, E., Zhu, J. (2010). Sparse multivariate regression with covariance estimation. Journal of
Computational and Graphical Statistics 19, 947-962.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numba import njit

from polytask.linear.solvers.debugging import assert_descent
from polytask.linear.solvers.graphical_lasso import descend, graphical_gap, graphical_objective

#: A step is solved to this share of the tolerance on both steps together.
_SHARE = 0.1
#: No gap is asked to be below this: it would be rounding error.
_ROUNDING = 1e-12
#: Sweeps of the graphical lasso in one round.
_SWEEPS = 100
#: Passes over the nonzero coefficients between two passes over all of them.
_ACTIVE_PASSES = 10


class Averages(NamedTuple):
    """Means over rows of centred products, given the observed labels and the current fit: gram (p, p) of xxᵀ,
    xty (q, p) of yxᵀ, yty (q, q) of yyᵀ, and what the data add to the objective beyond tr(SΩ) − log|Ω|."""

    gram: np.ndarray
    xty: np.ndarray
    yty: np.ndarray
    excess: float = 0.0

    def residuals(self, coef: np.ndarray) -> np.ndarray:
        """S (q, q), the mean of (y − Bx)(y − Bx)ᵀ."""
        cross = coef @ self.xty.T
        S = self.yty - cross - cross.T + coef @ self.gram @ coef.T
        return (S + S.T) / 2


class Rows(Protocol):
    """Data that can be averaged: complete ones need no fit for it, incomplete ones take expectations."""

    def averages(self, coef: np.ndarray, precision: np.ndarray) -> Averages:
        """Averages given the observed labels, under the fit."""


class CompleteRows(NamedTuple):
    """Every row has every label."""

    known: Averages

    def averages(self, coef: np.ndarray, precision: np.ndarray) -> Averages:
        return self.known


class MRCEFit(NamedTuple):
    """coef (q, p), precision (q, q), the objective after every round, the gap of both steps, rounds."""

    coef: np.ndarray
    precision: np.ndarray
    objective: np.ndarray
    gap: float
    n_iter: int


def mrce(
    data: Rows,
    error_penalty: float,
    coef_penalty: float,
    *,
    start: tuple[np.ndarray, np.ndarray],
    positive: bool = False,
    floor: np.ndarray | float = 0.0,
    tol: float = 1e-6,
    max_iter: int = 1000,
) -> MRCEFit:
    """Alternate until neither step can lower the objective by more than the tolerance.

    Parameters
    ----------
    data : Rows
    error_penalty, coef_penalty : float
        λ₁, zero or more, and λ₂, positive.
    start : coef (q, p), precision (q, q)
    positive : bool
        Only coefficients of zero or more.
    floor : (q,) array or float
        Added to the error variances, the diagonal of S: bounds Ω where the features fit a target exactly.
    tol : float
        On the sum of both steps' duality gaps, per task, in units of the objective.
    max_iter : int
        Rounds of the two steps.

    Returns
    -------
    MRCEFit
    """
    penalties = _Penalties(error_penalty, coef_penalty, positive, floor)
    goal = max(tol, _ROUNDING) * len(start[1])
    point = _at(data, *start, penalties)
    objective, stride, gap, n_iter = [point.objective], 1.0, np.inf, 0
    while gap > goal and n_iter < max_iter:
        n_iter += 1
        coef, _ = weighted_lasso(
            point.averages,
            point.precision,
            coef_penalty,
            start=point.coef,
            positive=positive,
            tol=_SHARE * goal,
        )
        new = _settled(data, coef, point, penalties, _SHARE * goal)
        if n_iter > 1:
            ahead = coef + stride * (coef - point.coef)
            tried = _settled(
                data, np.maximum(ahead, 0.0) if positive else ahead, new, penalties, _SHARE * goal
            )
            better = tried.objective < new.objective
            new, stride = (tried, 2 * stride) if better else (new, 1.0)
        point = new
        objective.append(point.objective)
        assert_descent(objective, "MRCE", 1e-9)
        S = with_floor(point.averages.residuals(point.coef), floor)
        gap = graphical_gap(S, point.precision, error_penalty)
        gap += weighted_lasso_gap(
            point.averages, point.precision, coef_penalty, point.coef, positive=positive
        )
    return MRCEFit(point.coef, point.precision, np.array(objective), gap, n_iter)


class _Penalties(NamedTuple):
    """λ₁, λ₂, whether coefficients are positive, and what is added to the error variances."""

    error: float
    coef: float
    positive: bool
    floor: np.ndarray | float


class _Point(NamedTuple):
    """A fit, the averages of the data under it, and the objective."""

    coef: np.ndarray
    precision: np.ndarray
    averages: Averages
    objective: float


def _at(data: Rows, coef: np.ndarray, precision: np.ndarray, penalties: _Penalties) -> _Point:
    averages = data.averages(coef, precision)
    value = mrce_objective(averages, coef, precision, penalties.error, penalties.coef, penalties.floor)
    return _Point(coef, precision, averages, value)


def _settled(data: Rows, coef: np.ndarray, near: _Point, penalties: _Penalties, tol: float) -> _Point:
    """The precision that suits the coefficients, by the averages of a point nearby."""
    S = with_floor(near.averages.residuals(coef), penalties.floor)
    precision = near.precision.copy()
    descend(S, penalties.error, precision, tol, _SWEEPS)
    return _at(data, coef, precision, penalties)


def one_step_mrce(
    data: Rows,
    error_penalty: float,
    coef_penalty: float,
    *,
    start: tuple[np.ndarray, np.ndarray],
    positive: bool = False,
    floor: np.ndarray | float = 0.0,
    tol: float = 1e-6,
    max_iter: int = 1000,
) -> MRCEFit:
    """The paper's approximation: a lasso per task, the precision of its residuals, the lasso that this weights.

    The first lasso is that of the precision in `start`, a diagonal one; parameters are those of `mrce`.
    """
    goal = _SHARE * tol * len(start[1])
    first = mrce(
        data, error_penalty, coef_penalty, start=start, positive=positive, floor=floor, tol=tol, max_iter=1
    )
    averages = data.averages(first.coef, first.precision)
    coef, gap = weighted_lasso(
        averages,
        first.precision,
        coef_penalty,
        start=first.coef,
        positive=positive,
        tol=goal,
        max_iter=max_iter,
    )
    averages = data.averages(coef, first.precision)
    value = mrce_objective(averages, coef, first.precision, error_penalty, coef_penalty, floor)
    return MRCEFit(coef, first.precision, np.append(first.objective, value), gap, 1)


def mrce_objective(
    averages: Averages,
    coef: np.ndarray,
    precision: np.ndarray,
    error_penalty: float,
    coef_penalty: float,
    floor: np.ndarray | float = 0.0,
) -> float:
    """The objective of the module's docstring, with S + diag(floor) for S."""
    S = with_floor(averages.residuals(coef), floor)
    likelihood = graphical_objective(S, precision, error_penalty) + averages.excess
    return likelihood + coef_penalty * float(np.abs(coef).sum())


def with_floor(S: np.ndarray, floor: np.ndarray | float) -> np.ndarray:
    """S + diag(floor)."""
    return S + np.diag(np.broadcast_to(floor, len(S)))


def weighted_lasso(
    averages: Averages,
    precision: np.ndarray,
    penalty: float,
    *,
    start: np.ndarray,
    positive: bool = False,
    tol: float,
    max_iter: int = 200,
) -> tuple[np.ndarray, float]:
    """argmin_B tr(S(B) Ω) + λ₂ Σ |b_jk|, and its duality gap.

    Parameters
    ----------
    averages : Averages
    precision : (q, q) array
    penalty : float
        λ₂, positive.
    start : (q, p) array
    positive : bool
    tol : float
        The duality gap to reach.
    max_iter : int
        Passes over all coefficients; the nonzero ones are passed more often.
    """
    coef = np.array(start, order="C", dtype=float)
    gap = _solve(averages.gram, averages.xty, averages.yty, precision, penalty, positive, coef, tol, max_iter)
    return coef, gap


def weighted_lasso_gap(
    averages: Averages, precision: np.ndarray, penalty: float, coef: np.ndarray, *, positive: bool = False
) -> float:
    """Duality gap of coefficients (q, p), the dual point being the residual scaled into the feasible set."""
    residual = averages.xty - coef @ averages.gram
    return _gap(averages.xty, averages.yty, precision, penalty, positive, coef, residual)


@njit(cache=True)
def _gap(
    xty: np.ndarray,
    yty: np.ndarray,
    precision: np.ndarray,
    penalty: float,
    positive: bool,
    coef: np.ndarray,
    residual: np.ndarray,
) -> float:
    """The gap; residual (q, p) is R."""
    cross = yty - coef @ xty.T
    gradient = precision @ residual
    inner = np.sum(precision * cross)
    fit = inner - np.sum(gradient * coef)
    largest = 2.0 * (np.max(gradient) if positive else np.max(np.abs(gradient)))
    scale = min(1.0, penalty / largest) if largest > 0.0 else 1.0
    return fit + penalty * np.sum(np.abs(coef)) - 2.0 * scale * inner + scale**2 * fit


@njit(cache=True)
def _solve(
    gram: np.ndarray,
    xty: np.ndarray,
    yty: np.ndarray,
    precision: np.ndarray,
    penalty: float,
    positive: bool,
    coef: np.ndarray,
    tol: float,
    max_iter: int,
) -> float:
    """Descend until the duality gap is at most tol, in place; the gap."""
    residual = xty - coef @ gram
    gap = _gap(xty, yty, precision, penalty, positive, coef, residual)
    for _ in range(max_iter):
        if gap <= tol:
            break
        turned = np.ascontiguousarray(residual.T)
        _descend(gram, precision, penalty, positive, coef, turned, _ACTIVE_PASSES)
        residual = xty - coef @ gram
        gap = _gap(xty, yty, precision, penalty, positive, coef, residual)
    return gap


@njit(cache=True)
def _descend(
    gram: np.ndarray,
    precision: np.ndarray,
    penalty: float,
    positive: bool,
    coef: np.ndarray,
    residual: np.ndarray,
    passes: int,
) -> None:
    """A pass over all coefficients and then some over the nonzero ones, in place; residual (p, q) is Rᵀ."""
    q, p = coef.shape
    for index in range(passes):
        for j in range(p):
            if gram[j, j] <= 0.0:
                continue
            for t in range(q):
                old = coef[t, j]
                if index > 0 and old == 0.0:
                    continue
                curvature = precision[t, t] * gram[j, j]
                pull = curvature * old
                for s in range(q):
                    pull += precision[t, s] * residual[j, s]
                new = max(abs(pull) - penalty / 2, 0.0) / curvature
                if pull < 0.0 and new > 0.0:
                    new = 0.0 if positive else -new
                if new != old:
                    coef[t, j] = new
                    for i in range(p):
                        residual[i, t] -= (new - old) * gram[i, j]
