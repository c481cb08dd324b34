"""Errors of a path on cross-validation folds, and the grid point they choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from polytask.linear.folds import FoldMoments
from polytask.linear.moments import Moments
from polytask.linear.paths import CoefPath


@dataclass(frozen=True)
class CVErrors:
    """Errors on the test rows of F folds, at k grid points, of q tasks.

    Attributes
    ----------
    squared_error : (F, k, q) array
        Weighted sums of squared errors, in squared units of each target.
    weight : (F, q) array
        Total weight of the test labels; 0 where the task had no training label in that fold.
    worst_gap : float
        The largest relative duality gap on any fold.
    """

    squared_error: np.ndarray
    weight: np.ndarray
    worst_gap: float = 0.0

    def mean(self) -> np.ndarray:
        """(k, q) mean squared error over all test labels; NaN for a task that was never tested."""
        weight = self.weight.sum(axis=0)
        return self.squared_error.sum(axis=0) / np.where(weight > 0, weight, np.nan)

    def by_fold(self) -> np.ndarray:
        """(k, F, q) mean squared error per fold; NaN where a task was not tested."""
        mean = self.squared_error / np.where(self.weight > 0, self.weight, np.nan)[:, None, :]
        return mean.transpose(1, 0, 2)

    def choose_jointly(self, target_scale: np.ndarray | None = None) -> int:
        """The grid point with the least error summed over tasks, targets divided by target_scale (q,)."""
        total = self.squared_error.sum(axis=0)
        scale = np.ones(total.shape[1]) if target_scale is None else target_scale
        return int(np.argmin((total / scale**2).sum(axis=1)))

    def choose_per_task(self) -> np.ndarray:
        """(q,) the best grid point of each task; a task that was never tested takes the joint choice."""
        best = np.argmin(self.squared_error.sum(axis=0), axis=0)
        return np.where(self.weight.sum(axis=0) > 0, best, self.choose_jointly())


def cv_errors(
    path: Callable[[Moments, np.ndarray], CoefPath], folds: Sequence[FoldMoments], grid: np.ndarray
) -> CVErrors:
    """Fit the path on every fold's training moments and take its errors on the test moments.

    Parameters
    ----------
    path : callable (moments, grid) -> CoefPath
        For example the `coef_path` method of a linear model.
    folds : sequence of FoldMoments
    grid : (k, ...) array
    """
    errors, weights, worst = [], [], 0.0
    for fold in folds:
        fitted = path(fold.train, grid)
        tested = np.where(fold.train.task_weight > 0, fold.test.task_weight, 0.0)
        error = fold.test.squared_error(fitted.coef, fitted.intercept)
        errors.append(np.where(tested > 0, error, 0.0))
        weights.append(tested)
        worst = max(worst, fitted.worst_gap())
    return CVErrors(np.stack(errors), np.stack(weights), worst)
