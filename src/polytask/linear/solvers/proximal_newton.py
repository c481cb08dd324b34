"""Proximal Newton steps for logistic and Poisson loss with a row-wise L2 or an L1 penalty, along a path of penalties.

    min_B  Σ_t Σ_i w_i ℓ(y_it, x_i·b_t + b0_t)  +  Σ_j f_j (α ‖B_j‖₂ + ½ρ ‖B_j‖²),   or  Σ_t α_t Σ_j f_j |b_tj|

A step minimises the quadratic model of the loss plus the penalty, by coordinate descent on Grams weighted by the
variances of the labels, and goes along the line there as far as the objective falls enough (Lee, Sun & Saunders 2014,
"Proximal Newton-type methods for minimizing composite functions"). The inner accuracy follows the duality gap, as in
newGLMNET (Yuan, Ho & Lin 2012). Grams are formed of a working set of features alone, which the sequential strong
rule proposes (Tibshirani et al. 2012) and violated optimality conditions enlarge.

Intercepts are profiled out: the Hessian of what is left is the Gram about means weighted by the variances.
A penalty is done when the duality gap of the loss itself, over all features, is small; unpenalised features are set
to their best before it is measured (`free_directions`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from polytask.linear.losses.ridged import Ridged, RidgedPoint
from polytask.linear.losses.rows import RowLoss, RowPoint
from polytask.linear.paths import Solution
from polytask.linear.penalties.base import NonNegative, Penalty, blocks_alone
from polytask.linear.penalties.group import Group
from polytask.linear.penalties.l1 import L1
from polytask.linear.solvers.debugging import assert_descent
from polytask.linear.solvers.free_directions import FreeDirections
from polytask.linear.solvers.gram_descent import group_path, lasso_paths

#: Newton steps per penalty: labels that a hyperplane separates need many at tiny penalties, and have no good end.
_STEPS = 100
#: Share of the gap that the quadratic model may leave.
_INNER = 0.01
#: Factor of that share where a step was for nothing; twice at most.
_TIGHTEN = 1e-3
#: Share of the wanted gap that unpenalised features may leave.
_FREE_SHARE = 1e-3
#: Share of the predicted decrease that a step must reach (Armijo), and the shortest step tried.
_ENOUGH, _SHORTEST = 1e-4, 1e-9
#: Least variance of a label: smaller ones would blow up the quadratic model's scale.
_LEAST_VARIANCE = 1e-10
#: Features that all enter the Grams, whatever the screening says.
_FEW = 32
#: Features that a working set may have beyond those in use.
_ROOM = 300
#: Relative gap, and relative change of the objective, that are rounding errors.
_FLOOR, _ROUNDING = 1e-13, 1e-14


def proximal_newton_path(
    loss: RowLoss,
    norms: np.ndarray,
    ridges: np.ndarray | float,
    factors: np.ndarray,
    unit: float,
    *,
    positive: bool = False,
    start: np.ndarray | None = None,
    tol: float = 1e-4,
    max_iter: int = 10_000,
) -> Solution:
    """Solve for each penalty in turn, each solution starting the next.

    Parameters
    ----------
    loss : RowLoss
    norms : (k,) or (k, q) array
        Positive α of the row-wise L2 penalty, or α_t of the L1 penalty of each task; fastest when decreasing.
    ridges : float or array like `norms`
        ρ ≥ 0.
    factors : (p,) array
        f_j ≥ 0; with `positive`, > 0.
    unit : float
        What the gaps are divided by.
    positive : bool
        Only coefficients ≥ 0.
    start : (q, p) array or None
        Coefficients to start from.
    tol : float
        Stop when gap ≤ tol · loss at zero coefficients.
    max_iter : int
        Largest number of Newton steps per penalty, and of sweeps in each; no more than 100 steps are taken.
    """
    ridges = np.broadcast_to(ridges, norms.shape)
    coef = np.zeros(loss.shape) if start is None else np.array(start, dtype=float)
    coef = np.maximum(coef, 0.0) if positive else coef
    searches = []
    for k, (norm, ridge) in enumerate(zip(norms, ridges)):
        # Slopes change no faster than the penalty, nearly always.
        level = float(np.min(2.0 - norms[k - 1] / norm)) if k else 1.0
        search = _Search(loss, norm, ridge, factors, positive, coef)
        search.run(min(level, 1.0), tol, max_iter)
        coef = search.here.coef
        searches.append(search)
    return Solution(
        coef=np.stack([search.here.coef for search in searches]),
        gap=np.array([search.gap for search in searches]) / unit,
        null=np.full(len(searches), loss.null) / unit,
        n_iter=np.array([search.n_iter for search in searches]),
        intercept=np.stack([loss.intercept(search.here.coef) for search in searches]),
    )


class _Search:
    """The Newton steps at one penalty."""

    def __init__(
        self, loss: RowLoss, norm: np.ndarray, ridge: np.ndarray, factors: np.ndarray, positive: bool, coef: np.ndarray
    ) -> None:  # fmt: skip
        self.loss, self.norm, self.ridge, self.factors, self.positive = loss, norm, ridge, factors, positive
        self.plain = L1(norm, factors) if np.ndim(norm) else Group(float(norm), factors)
        self.penalty: Penalty = NonNegative(self.plain) if positive else self.plain
        self.smooth = Ridged(loss, np.multiply.outer(ridge, factors))
        self.here = self.smooth.point(coef)
        blocks = blocks_alone(factors == 0, loss.shape)
        self.free = None if blocks is None else FreeDirections(blocks)
        self.gap, self.n_iter, self.inner = np.inf, 0, _INNER
        self.objective = [self._objective(self.here)]

    def run(self, level: float, tol: float, max_iter: int) -> None:
        """Steps until the gap is small; features whose slope is `level` of what would move them may enter."""
        goal = max(tol, _FLOOR) * self.loss.null
        self._measure(goal)
        while self.gap > goal and self.n_iter < min(max_iter, _STEPS):
            before = self.gap
            gained = self._step(np.flatnonzero(self._candidates(level)), goal, max_iter)
            self.n_iter += 1
            self._measure(goal)
            if not gained and self.gap > before / 2:
                if self.inner <= _INNER * _TIGHTEN**2:
                    # Only rounding errors are left, or the line has no better point.
                    break
                # The model's gap was smaller than that of the loss, and left undone what was asked of it.
                self.inner *= _TIGHTEN

    def _objective(self, point: RidgedPoint) -> float:
        return point.value + self.penalty.value(point.coef)

    def _candidates(self, level: float) -> np.ndarray:
        """(p,) features in use, and those with slopes near or above their penalty, the largest first."""
        coef, n_features = self.here.coef, len(self.factors)
        if n_features <= _FEW:
            return np.ones(n_features, dtype=bool)
        slope = np.maximum(self.here.slope, 0.0) if self.positive else np.abs(self.here.slope)
        size = slope if isinstance(self.plain, L1) else np.linalg.norm(slope, axis=0)
        threshold = self.plain.threshold
        ratio = np.divide(size, threshold, out=np.full(size.shape, np.inf), where=threshold > 0)
        ratio = np.atleast_2d(ratio).max(axis=0)
        chosen = np.any(coef, axis=0)
        ratio[chosen] = 0.0
        largest = np.argsort(-ratio, kind="stable")[:_ROOM]
        chosen[largest[ratio[largest] >= max(level, 1e-3)]] = True
        return chosen

    def _step(self, features: np.ndarray, goal: float, max_iter: int) -> bool:
        """To the minimum of the quadratic model, or part of the way; whether the objective fell noticeably."""
        here, coef = self.here, self.here.coef.copy()
        coef[:, features] = self._model_minimum(features, goal, max_iter)
        with np.errstate(over="ignore", invalid="ignore"):  # exponentials of steps that are too long
            full = end = self.smooth.point(coef)
            predicted = (
                self.penalty.value(coef) - self.penalty.value(here.coef) - float(np.vdot(here.slope, coef - here.coef))
            )  # fmt: skip
            now, share = self.objective[-1], 1.0
            slack = _ROUNDING * max(abs(now), self.loss.null)
            while not (value := self._objective(end)) <= now + _ENOUGH * share * predicted + slack:
                share /= 2
                if share < _SHORTEST:
                    return False
                end = self.smooth.beyond(full, here, -share)
        self.here = end
        self.objective.append(value)
        assert_descent(self.objective, "Proximal Newton", 2 * _ROUNDING)
        return predicted < -slack

    def _model_minimum(self, features: np.ndarray, goal: float, max_iter: int) -> np.ndarray:
        """(q, s) minimum, of the coefficients of some features, of the quadratic model with the penalty."""
        inner = self.here.inner
        assert isinstance(inner, RowPoint)
        gram, misfit = weighted_grams(self.loss, inner, features)
        coef, slope = inner.coef[:, features], inner.slope[:, features]
        pull = np.matmul(gram, coef[:, :, None])[:, :, 0]
        xty = slope + pull
        yty = (coef * (pull + 2 * slope)).sum(axis=1) + misfit
        total = float(yty.sum())
        settings: dict[str, Any] = {
            "penalty_factors": self.factors[features], "start": coef, "positive": self.positive,
            "tol": self.inner * max(self.gap, goal) / max(total / 2, np.finfo(float).tiny), "max_iter": max_iter,
        }  # fmt: skip
        tasks = np.arange(len(gram))
        if isinstance(self.plain, L1):
            path = lasso_paths(gram, tasks, xty, yty, self.norm[None], ridge=self.ridge[None], **settings)
        else:
            path = group_path(
                gram, tasks, xty, total, np.array([self.norm]), ridge=float(self.ridge), **settings
            )
        return path.coef[0]

    def _measure(self, goal: float) -> None:
        """Duality gap, with unpenalised features at their best."""
        slope, left = self.here.slope, 0.0
        if self.free is not None:
            self.here, left = self._settled(self.free, goal)
            slope = self.free.without(self.here.slope)
        scale = 1.0 / np.maximum(self._worst(slope), 1.0)
        self.gap = max(self.objective[-1] - self._dual(scale), 0.0) + left

    def _settled(self, free: FreeDirections, goal: float) -> tuple[RidgedPoint, float]:
        """The best point along the unpenalised features, and how much better it might be."""
        point, left = free.settle(self.smooth, self.here, _FREE_SHARE * goal)
        assert isinstance(point, RidgedPoint)
        self.objective.append(self._objective(point))
        assert_descent(self.objective, "Proximal Newton", 2 * _ROUNDING)
        return point, left

    def _worst(self, slope: np.ndarray) -> np.ndarray:
        """(q,) dual norm of the slope: of each task's where the penalty is a sum over tasks, else of all."""
        slope = np.maximum(slope, 0.0) if self.positive else slope
        if isinstance(self.plain, L1):
            threshold = self.plain.threshold
            ratio = np.divide(np.abs(slope), threshold, out=np.zeros_like(slope), where=threshold > 0)
            return ratio.max(axis=1, initial=0.0)
        return np.full(len(slope), self.plain.polar(slope))

    def _dual(self, scale: np.ndarray) -> float:
        """The Fenchel dual at the residuals of every task times its scale (q,)."""
        inner, kind = self.here.inner, self.loss.kind
        assert isinstance(inner, RowPoint)
        # The ridge counts as rows of data, with target 0 and prediction √(ρ f_j) b_tj.
        total = -float((scale**2) @ (self.smooth.ridge * inner.coef**2).sum(axis=1)) / 2
        for part, mean in zip(self.loss.parts, inner.means):
            u = scale[part.tasks] * (mean - part.targets)
            total -= float(part.weights @ kind.conjugate(part.targets, u).sum(axis=1))
        return total


def weighted_grams(loss: RowLoss, point: RowPoint, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The Hessian of every task's loss in some features, and the misfit of its quadratic model.

    Parameters
    ----------
    loss : RowLoss
    point : RowPoint
    features : (s,) int array

    Returns
    -------
    gram : (q, s, s) array
        Σ_i w_i v_i x_i x_iᵀ, v_i the variance of label i, about the mean of the same weights where the loss has
        intercepts.
    misfit : (q,) array
        Σ_i w_i (y_i − μ_i)² / v_i.
    """
    n_tasks = loss.shape[0]
    gram, misfit = np.zeros((n_tasks, len(features), len(features))), np.zeros(n_tasks)
    for part, z, mean in zip(loss.parts, point.predictors, point.means):
        variance = np.maximum(loss.kind.variance(z), _LEAST_VARIANCE)
        misfit[part.tasks] = part.weights @ ((part.targets - mean) ** 2 / variance)
        columns = part.X[:, features]
        columns = columns if sparse.issparse(columns) else columns - loss.centre[features]
        for task, weights in zip(part.tasks, (part.weights[:, None] * variance).T):
            gram[task] = _gram_about_mean(columns, weights, loss.fit_intercept)
    return gram, misfit


def _gram_about_mean(X: Any, weights: np.ndarray, centred: bool) -> np.ndarray:
    """(p, p) Σ_i w_i x_i x_iᵀ, about the weighted mean if asked for."""
    mean = np.asarray(weights @ X).ravel() / weights.sum()
    if sparse.issparse(X):
        gram = (X.T @ X.multiply(weights[:, None]).tocsr()).toarray()
        return gram - weights.sum() * np.outer(mean, mean) if centred else gram
    scaled = np.sqrt(weights)[:, None] * (X - mean if centred else X)
    return scaled.T @ scaled
