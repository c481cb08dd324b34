"""Errors of a path on cross-validation folds, and the grid point they choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from polytask.errors import SettingError
from polytask.linear.folds import FoldMoments
from polytask.linear.losses.kinds import KINDS
from polytask.linear.moments import Moments
from polytask.linear.paths import CoefPath
from polytask.linear.table import LabelledTable

#: Rules of choice: the least error, or the strongest penalty within one standard error of it.
RULES = ("min", "1se")


#: Points of a path whose errors are computed at once: neighbours use much the same features.
_PIECE = 10
#: Features from which on that saves time.
_MANY = 200


def check_rule(rule: str) -> str:
    """A rule of choice that there is."""
    if rule not in RULES:
        raise SettingError(f"selection must be 'min' or '1se'; got {rule!r}.")
    return rule


@dataclass(frozen=True)
class CVErrors:
    """Errors on the test rows of F folds, at k grid points, of q tasks.

    Attributes
    ----------
    squared_error : (F, k, q) array
        Weighted sums of squared errors, in squared units of each target; of deviances for other losses.
    weight : (F, q) array
        Total weight of the test labels; 0 where the task had no training label in that fold.
    worst_gap : float
        The largest relative gap on any fold.
    measure : str
        What kind of gap.
    """

    squared_error: np.ndarray
    weight: np.ndarray
    worst_gap: float = 0.0
    measure: str = "duality gap"

    def mean(self) -> np.ndarray:
        """(k, q) mean squared error over all test labels; NaN for a task that was never tested."""
        weight = self.weight.sum(axis=0)
        return self.squared_error.sum(axis=0) / np.where(weight > 0, weight, np.nan)

    def by_fold(self) -> np.ndarray:
        """(k, F, q) mean squared error per fold; NaN where a task was not tested."""
        mean = self.squared_error / np.where(self.weight > 0, self.weight, np.nan)[:, None, :]
        return mean.transpose(1, 0, 2)

    def choose_jointly(
        self, target_scale: np.ndarray | None = None, rule: str = "min", grid: np.ndarray | None = None
    ) -> int:
        """The grid point with the least error summed over tasks, targets divided by target_scale (q,).

        With the rule "1se" and the grid, the strongest first penalty, the others as at the least error, whose
        mean error is within one standard error over folds of the least (Breiman et al. 1984).
        """
        scale = np.ones(self.weight.shape[1]) if target_scale is None else target_scale
        by_fold = (self.squared_error / scale**2).sum(axis=2)
        best = int(np.argmin(by_fold.sum(axis=0)))
        if rule == "min" or grid is None:
            return best
        grid = grid.reshape(len(grid), -1)
        alike = np.all(grid[:, 1:] == grid[best, 1:], axis=1)
        return _within_one_error(by_fold, self.weight.sum(axis=1), best, alike, grid[:, 0])

    def choose_per_task(self, rule: str = "min", grid: np.ndarray | None = None) -> np.ndarray:
        """(q,) the best grid point of each task; a task that was never tested takes the joint choice."""
        best = np.argmin(self.squared_error.sum(axis=0), axis=0)
        tested = self.weight.sum(axis=0) > 0
        if rule == "1se" and grid is not None:
            every = np.ones(len(grid), dtype=bool)
            for t in np.flatnonzero(tested):
                error, weight = self.squared_error[:, :, t], self.weight[:, t]
                best[t] = _within_one_error(error, weight, int(best[t]), every, grid[:, t])
        return np.where(tested, best, self.choose_jointly())


def _within_one_error(
    error: np.ndarray, weight: np.ndarray, best: int, allowed: np.ndarray, strength: np.ndarray
) -> int:
    """The strongest allowed point whose mean error is within one standard error of the best point's.

    error (F, k) are sums over folds of total weight (F,); the standard error is that of the folds' means.
    """
    tested = weight > 0
    if tested.sum() < 2:
        return best
    means = error[tested] / weight[tested, None]
    share = weight[tested] / weight[tested].sum()
    mean = share @ means
    spread = np.sqrt(share @ (means[:, best] - mean[best]) ** 2 / (tested.sum() - 1))
    candidates = np.flatnonzero(allowed & (mean <= mean[best] + spread))
    return int(candidates[np.argmax(strength[candidates])])


Path = Callable[..., CoefPath]


def cv_errors(path: Path, folds: Sequence[FoldMoments], grid: np.ndarray) -> CVErrors:
    """Fit the path on every fold's training moments and take its errors on the test moments.

    Parameters
    ----------
    path : callable (moments, grid) -> CoefPath
        For example the `coef_path` method of a linear model.
    folds : sequence of FoldMoments
    grid : (k, ...) array
    """
    return _errors(path, folds, grid, _squared_error)


def cv_errors_of_rows(
    path: Path,
    table: LabelledTable,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    grid: np.ndarray,
    loss: str,
) -> CVErrors:
    """Fit the path on every fold's training rows and take its deviance on the test rows.

    Parameters
    ----------
    path : callable (table, grid) -> CoefPath
    table : LabelledTable
    splits : sequence of (train, test) index arrays
    grid : (k, ...) array
    loss : {"squared", "logistic", "poisson"}
    """
    folds = ((table.restricted(train), table.restricted(test)) for train, test in splits)

    def error(test: LabelledTable, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        return np.stack([_deviance(test, loss, b, b0) for b, b0 in zip(coef, intercept)])

    return _errors(path, folds, grid, error)


def _errors(path: Path, folds, grid: np.ndarray, error_of) -> CVErrors:  # type: ignore[no-untyped-def]
    errors, weights, worst, measure = [], [], 0.0, "duality gap"
    for train, test in folds:
        fitted = path(train, grid)
        tested = np.where(train.task_weight > 0, test.task_weight, 0.0)
        error = error_of(test, fitted.coef, fitted.intercept)
        errors.append(np.where(tested > 0, error, 0.0))
        weights.append(tested)
        worst, measure = max(worst, fitted.worst_gap), fitted.measure
    return CVErrors(np.stack(errors), np.stack(weights), worst, measure)


def _squared_error(test: Moments, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """(k, q) `Moments.squared_error`, a piece of the path at a time, on the features that the piece uses."""
    if coef.shape[2] < _MANY:
        return test.squared_error(coef, intercept)
    out = np.empty(intercept.shape)
    for first in range(0, len(coef), _PIECE):
        piece = slice(first, first + _PIECE)
        used = np.asarray(coef[piece].any(axis=(0, 1)))
        if 2 * used.sum() > used.size:
            out[piece] = test.squared_error(coef[piece], intercept[piece])
        else:
            part = replace(
                test, x_mean=test.x_mean[:, used], x_rest=test.x_rest[:, used],
                gram=test.gram[:, used][:, :, used], xty=test.xty[:, used], feature_names=None,
            )  # fmt: skip
            out[piece] = part.squared_error(coef[piece][:, :, used], intercept[piece])
    return out


def _deviance(table: LabelledTable, loss: str, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """(q,) 2 Σ w (ℓ(y, z) − inf ℓ): squared errors for squared loss."""
    kind, out = KINDS[loss], np.zeros(len(coef))
    for labels in table.patterns:
        z = np.asarray(table.X[labels.rows] @ coef[labels.tasks].T) + intercept[labels.tasks]
        excess = kind.value(labels.targets, z) - kind.least(labels.targets)
        out[labels.tasks] = 2 * (labels.weights @ excess)
    return out
