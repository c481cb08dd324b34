"""Coefficients at every point of a grid of penalties, in the data's units, from moments alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from polytask.linear.moments import Moments


class Solution(NamedTuple):
    """What a solver returns for k grid points: coef (k, q, p); the last three are None for closed forms.

    gap and n_iter have k rows and a column per task where tasks are solved apart; null is the objective at
    zero coefficients, which gaps are measured against.
    """

    coef: np.ndarray
    gap: np.ndarray | None = None
    null: np.ndarray | None = None
    n_iter: np.ndarray | None = None


@dataclass(frozen=True)
class CoefPath:
    """Coefficients along a grid.

    Attributes
    ----------
    grid : (k, ...) array
    coef : (k, q, p) array
    intercept : (k, q) array
    gap, null, n_iter
        See `Solution`; gaps are those of the scaled problem that was solved.
    """

    grid: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    gap: np.ndarray | None = None
    null: np.ndarray | None = None
    n_iter: np.ndarray | None = None

    def worst_gap(self) -> float:
        """The largest duality gap relative to the objective at zero; 0 for closed forms."""
        if self.gap is None or self.null is None or self.gap.size == 0:
            return 0.0
        return float(np.max(self.gap / np.where(self.null > 0, self.null, 1.0)))


class Scaling(NamedTuple):
    """How the data are transformed before the penalty applies."""

    fit_intercept: bool = True
    standardize: bool = False
    scale_targets: bool = False

    def scales(self, moments: Moments) -> tuple[np.ndarray, np.ndarray]:
        """Divisors of the features (p,) and of the targets (q,)."""
        x_scale, y_scale = np.ones(moments.n_features), np.ones(moments.n_tasks)
        if self.standardize:
            x_scale = _root_or_one(moments.variance)
        if self.scale_targets:
            y_scale = _root_or_one(moments.target_variance)
        return x_scale, y_scale

    def apply(self, moments: Moments) -> Moments:
        """The moments that the solver sees."""
        return (moments if self.fit_intercept else moments.about_zero()).scaled(*self.scales(moments))


def coef_path(
    solve: Callable[[Moments, np.ndarray], Solution], moments: Moments, grid: np.ndarray, scaling: Scaling
) -> CoefPath:
    """Solve on scaled moments and bring the coefficients back to the data's units."""
    scaled = scaling.apply(moments)
    solution = solve(scaled, grid)
    x_scale, y_scale = scaling.scales(moments)
    # Eigenbases leave rounding error where a feature is constant everywhere.
    coef = solution.coef * (y_scale[:, None] / x_scale) * (scaled.variance > 0)
    intercept = np.zeros(coef.shape[:2])
    if scaling.fit_intercept:
        x_mean, y_mean = _task_means(moments)
        intercept = y_mean - np.einsum("ktj,tj->kt", coef, x_mean)
    return CoefPath(grid, coef, intercept, solution.gap, solution.null, solution.n_iter)


def _task_means(moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Means per task; a task without labels borrows those of all labels, so that it can be predicted."""
    x_mean, y_mean, weight = moments.x_mean[moments.pattern], moments.y_mean, moments.task_weight
    unlabelled = weight == 0
    if unlabelled.any() and not unlabelled.all():
        x_mean = np.where(unlabelled[:, None], weight @ x_mean / weight.sum(), x_mean)
        y_mean = np.where(unlabelled, weight @ y_mean / weight.sum(), y_mean)
    return x_mean, y_mean


def _root_or_one(variance: np.ndarray) -> np.ndarray:
    """Standard deviations; 1 for what does not vary, which then keeps its zero coefficient."""
    return np.sqrt(np.where(variance > 0, variance, 1.0))
