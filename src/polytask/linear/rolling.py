"""Choosing penalties anew at every cutoff of a rolling origin, each row read about once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone

from polytask.errors import DataError, SettingError
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.estimators.group_lasso import GroupLassoCV
from polytask.linear.folds import FoldMoments, Split, split_rows, whole_and_folds
from polytask.linear.inputs import fit_data
from polytask.linear.moments import Moments
from polytask.linear.paths import CoefPath
from polytask.linear.selection import CVErrors, check_rule, cv_errors
from polytask.linear.solvers.gram_descent import group_path
from polytask.linear.table import LabelledTable
from polytask.linear.units import target_scales

#: Variance that is left in part of the rows below this share of all rows' is rounding error.
_LOST = 1e-12


@dataclass(frozen=True)
class RollingFits:
    """A model at each of C cutoffs.

    Attributes
    ----------
    cutoffs : (C,) int array
        The model at a cutoff saw the rows before it.
    penalties : (C, ...) array
        Chosen: (C,), (C, q) where each task has its own, (C, d) for models of d penalties.
    grids : tuple of C arrays (k, ...)
        What they were chosen from.
    errors : tuple of C CVErrors
        Squared errors on the folds, at each point of the grid.
    coef : (C, q, p) array
    intercept : (C, q) array
    """

    cutoffs: np.ndarray
    penalties: np.ndarray
    grids: tuple[np.ndarray, ...]
    errors: tuple[CVErrors, ...]
    coef: np.ndarray
    intercept: np.ndarray


def rolling_cv(
    model: CrossValidatedModel,
    X: Any,
    Y: Any = None,
    sample_weight: Any = None,
    *,
    cutoffs: Sequence[int],
    window: int | None = None,
) -> RollingFits:
    """What ``model.fit(X[:cutoff], Y[:cutoff])`` chooses and fits at each cutoff, from moments that roll along.

    Folds of consecutive rows are differences of running sums, so that a new cutoff reads only the rows that
    cross a boundary, and their errors are quadratic forms: neither fitting nor testing goes back to the data.
    With ``warm_start``, and for a `GroupLassoCV` always, the fit at the chosen penalty starts from the last one.

    Parameters
    ----------
    model : cross-validated linear model
        For example ``GroupLassoCV(cv=5)``; with squared loss. It is not fitted itself.
    X : (n, p) array, DataFrame or sparse matrix
        Rows in order of time.
    Y : (n,) or (n, q) array or DataFrame
        NaN = missing label.
    sample_weight : (n,) array, optional
        Non-negative.
    cutoffs : sequence of int
        Increasing; at each the model sees the rows before it.
    window : int, optional
        Only so many rows before a cutoff. By default all.

    Returns
    -------
    RollingFits

    Raises
    ------
    SettingError
        For losses other than squared and for models that need the rows.
    DataError
        For cutoffs outside the data or not increasing, and for tasks with rows of their own.
    """
    if not isinstance(model, CrossValidatedModel):
        raise SettingError(
            f"rolling_cv chooses penalties, so it needs a cross-validated model such as GroupLassoCV(), not {model!r}."
        )
    if model.loss != "squared" or model.can.moments:
        raise SettingError(
            f"rolling_cv needs a model that is fitted from moments with squared loss, not {model!r}; call fit at "
            "each cutoff instead."
        )
    model.can.check_settings(model)
    data = fit_data(clone(model), X, Y, sample_weight).data
    model.can.check_data(model, data)
    if not isinstance(data, LabelledTable) or data.own_rows:
        raise DataError("rolling_cv needs one table of rows in order of time, with a column of Y per task.")
    rule, sums = check_rule(model.selection), _RunningSums(data)
    path: Any = _PlainGroupLasso(model.tol, model.max_iter) if _is_plain(model) else model.coef_path
    fits: list[tuple[np.ndarray, CVErrors, CoefPath]] = []
    for start, stop in _windows(cutoffs, window, data.n_rows):
        whole, folds = _folds(sums, data, start, stop, model.cv)
        grid = model._search_grid(whole)
        errors = cv_errors(path, folds, grid)
        model._warn_if_unconverged(errors, f" in cross-validation before row {stop}")
        last = fits[-1][-1].coef[0] if fits else None
        fit = _fit(model, whole, _chosen(model, whole, errors, grid, rule), last)
        model._warn_if_unconverged(fit, f" at row {stop}")
        fits.append((grid, errors, fit))
    grids, errors_at, paths = zip(*fits)
    return RollingFits(
        np.asarray(cutoffs), np.stack([path.grid[0] for path in paths]), grids, errors_at,
        np.stack([path.coef[0] for path in paths]), np.stack([path.intercept[0] for path in paths]),
    )  # fmt: skip


def _windows(cutoffs: Sequence[int], window: int | None, n_rows: int) -> list[tuple[int, int]]:
    """First row and row after the last of each cutoff's data."""
    stops = np.asarray(cutoffs)
    if stops.ndim != 1 or not len(stops) or stops.dtype.kind not in "iu":
        raise DataError(f"cutoffs must be a list of row numbers, got {cutoffs!r}.")
    if np.any(np.diff(stops) <= 0) or stops[0] < 1 or stops[-1] > n_rows:
        raise DataError(f"cutoffs must increase between 1 and the {n_rows} rows, got {stops.tolist()}.")
    if window is not None and not 1 <= window <= stops[0]:
        raise DataError(f"window={window} must be between 1 and the first cutoff, {stops[0]}.")
    return [(0 if window is None else int(stop) - window, int(stop)) for stop in stops]


def _folds(
    sums: _RunningSums, table: LabelledTable, start: int, stop: int, cv: Any
) -> tuple[Moments, list[FoldMoments]]:
    """Moments of the rows from start to stop, and of the training and test rows of their folds."""
    n_rows = stop - start
    if isinstance(cv, int) and 2 <= cv <= n_rows and table.time is None and table.groups is None:
        # What `split_rows` cuts then, without the indices of all rows, which take longer than the moments.
        sizes = np.full(cv, n_rows // cv) + (np.arange(cv) < n_rows % cv)
    else:
        rows = _rows_between(table, start, stop)
        splits = split_rows(rows, cv)
        if not _are_blocks(splits, n_rows):
            return whole_and_folds(rows, splits)
        sizes = np.array([len(test) for _, test in splits])
    whole, tests, rest = sums.parts([start, *(start + np.cumsum(sizes)).tolist()])
    return whole, [FoldMoments(*pair) for pair in zip(rest, tests)]


def _are_blocks(splits: Sequence[Split], n_rows: int) -> bool:
    """Whether the test sets are consecutive blocks of all rows, and each is trained on the rest."""
    if not np.array_equal(np.concatenate([test for _, test in splits]), np.arange(n_rows)):
        return False
    for train, test in splits:
        seen = np.zeros(n_rows, dtype=bool)
        seen[test], seen[train] = True, True
        if len(train) + len(test) != n_rows or not seen.all():
            return False
    return True


def _rows_between(table: LabelledTable, start: int, stop: int) -> LabelledTable:
    """The table of some consecutive rows."""
    patterns = []
    for labels in table.patterns:
        part = slice(*np.searchsorted(labels.rows, [start, stop]))
        patterns.append(
            replace(
                labels,
                rows=labels.rows[part] - start,
                weights=labels.weights[part],
                targets=labels.targets[part],
            )
        )
    groups, time = (None if column is None else column[start:stop] for column in (table.groups, table.time))
    return replace(table, X=table.X[start:stop], patterns=tuple(patterns), groups=groups, time=time)


class _RunningSums:
    """Products of all rows before each of a few boundaries, moved along as the boundaries move.

    Rows of pattern g are z = (1, x − shift, y − shift) with the shift the means over the whole table, so that
    Σ w z zᵀ (1 + p + k, 1 + p + k) holds all that moments are made of, and parts are differences.
    """

    def __init__(self, table: LabelledTable) -> None:
        self.table = table
        self.stops: list[int] = []
        self.sums: list[np.ndarray] = []
        self.shifts = [
            np.concatenate([x, y])
            for x, y in ((table.task_x_mean[g.tasks[0]], table.y_mean[g.tasks]) for g in table.patterns)
        ]

    def parts(self, stops: Sequence[int]) -> tuple[Moments, list[Moments], list[Moments]]:
        """Moments of the rows between the first and last stop, of each part, and of all but each part."""
        if len(stops) == len(self.stops):
            for index, (old, new) in enumerate(zip(self.stops, stops)):
                self._add(index, old, new)
        else:
            sizes = [1 + len(shift) for shift in self.shifts]
            self.sums = [np.zeros((len(stops), size, size)) for size in sizes]
            for index, (old, new) in enumerate(pairwise([0, *stops])):
                for running in self.sums:
                    running[index] = running[max(index - 1, 0)]
                self._add(index, old, new)
        self.stops = list(stops)
        before = np.stack([np.searchsorted(labels.rows, stops) for labels in self.table.patterns], axis=1)
        moments = self._moments([_cut(running) for running in self.sums], _cut(before))
        return moments[0], moments[1 : len(stops)], moments[len(stops) :]

    def _add(self, index: int, start: int, stop: int) -> None:
        """The rows from start to stop to the sums of a boundary."""
        for labels, shift, running in zip(self.table.patterns, self.shifts, self.sums):
            part = slice(*np.searchsorted(labels.rows, [start, stop]))
            if part.start == part.stop:
                continue
            X = self.table.X[labels.rows[part]]
            z = np.ones((part.stop - part.start, 1 + len(shift)))
            z[:, 1:] = np.hstack([X.toarray() if sparse.issparse(X) else X, labels.targets[part]]) - shift
            z *= np.sqrt(labels.weights[part])[:, None]
            running[index] += z.T @ z

    def _moments(self, sums: list[np.ndarray], n_rows: np.ndarray) -> list[Moments]:
        """Centre the sums (F, ·, ·) of each of P patterns, in place, which are over n_rows (F, P): F moments."""
        table, n_parts = self.table, len(sums[0])
        q, p, n_patterns = table.n_tasks, table.n_features, len(sums)
        weight, x_mean = np.empty((n_parts, n_patterns)), np.empty((n_parts, n_patterns, p))
        gram, pattern = np.empty((n_parts, n_patterns, p, p)), np.empty(q, dtype=np.int64)
        y_mean, xty, target_gram = (
            np.empty((n_parts, q)),
            np.empty((n_parts, q, p)),
            np.zeros((n_parts, q, q)),
        )
        for g, (labels, shift, total) in enumerate(zip(table.patterns, self.shifts, sums)):
            weight[:, g] = np.where(total[:, 0, 0] > _LOST * self.sums[g][-1, 0, 0], total[:, 0, 0], 0.0)
            means = total[:, 0, 1:] / np.where(weight[:, g] > 0, weight[:, g], np.inf)[:, None]
            centred = total[:, 1:, 1:]
            centred -= total[:, 0, 1:, None] * means[:, None, :]
            lost = np.einsum("fjj->fj", centred) <= _LOST * np.einsum("jj->j", self.sums[g][-1])[1:]
            lost |= weight[:, g, None] == 0
            if lost.any():
                centred *= ~lost[:, :, None] & ~lost[:, None, :]
            tasks = labels.tasks
            pattern[tasks] = g
            gram[:, g], xty[:, tasks] = centred[:, :p, :p], centred[:, p:, :p]
            target_gram[:, tasks[:, None], tasks] = centred[:, p:, p:]
            x_mean[:, g], y_mean[:, tasks] = means[:, :p] + shift[:p], means[:, p:] + shift[p:]
        x_rest, y_rest = np.zeros((n_patterns, p)), np.zeros(q)
        return [
            Moments(
                weight[f], n_rows[f], x_mean[f], x_rest, gram[f], y_mean[f], y_rest,
                xty[f], target_gram[f], pattern, table.task_names,
            )
            for f in range(n_parts)
        ]  # fmt: skip


def _cut(running: np.ndarray) -> np.ndarray:
    """From running sums at F + 1 boundaries (F + 1, ...) those over everything, each part, and its complement."""
    n_parts = len(running) - 1
    out = np.empty((1 + 2 * n_parts, *running.shape[1:]), dtype=running.dtype)
    np.subtract(running[-1], running[0], out=out[0])
    np.subtract(running[1:], running[:-1], out=out[1 : 1 + n_parts])
    np.subtract(out[0], out[1 : 1 + n_parts], out=out[1 + n_parts :])
    return out


@dataclass(frozen=True)
class _PlainGroupLasso:
    """`GroupLassoCV.coef_path` where nothing is scaled, without its preparations: they would take longer."""

    tol: float
    max_iter: int

    def __call__(self, moments: Moments, grid: np.ndarray, start: np.ndarray | None = None) -> CoefPath:
        unit = float(moments.task_weight.mean()) or 1.0
        coef, gap, null, n_iter = group_path(
            moments.gram, moments.pattern, moments.xty, float(np.trace(moments.target_gram)), grid * unit,
            start=start, tol=self.tol, max_iter=self.max_iter,
        )  # fmt: skip
        intercept = moments.y_mean - np.einsum("ktj,tj->kt", coef, moments.task_x_mean)
        return CoefPath(grid, coef, intercept, gap / unit, null / unit, n_iter)


def _is_plain(model: CrossValidatedModel) -> bool:
    return (
        type(model) is GroupLassoCV and model.fit_intercept and model.relax == 1
        and not (model.standardize or model.scale_targets or model.positive)
        and model.penalty_factors is None
    )  # fmt: skip


def _chosen(
    model: CrossValidatedModel, whole: Moments, errors: CVErrors, grid: np.ndarray, rule: str
) -> np.ndarray:
    """The grid that consists of the chosen point alone."""
    if model.penalty_per_task:
        return grid[errors.choose_per_task(rule, grid), np.arange(grid.shape[1])][None]
    best = errors.choose_jointly(target_scales(model, whole), rule, grid)
    return grid[best : best + 1]


def _fit(model: CrossValidatedModel, whole: Moments, point: np.ndarray, last: np.ndarray | None) -> CoefPath:
    """The fit at one point, from coefficients (q, p)."""
    if _is_plain(model):
        return _PlainGroupLasso(min(model.tol, model.final_tol), model.max_iter)(whole, point, last)
    precise = model._precise()
    if last is not None:
        # Taken up with warm_start=True only: other models may end elsewhere when they start elsewhere.
        precise.coef_ = last
    return precise.coef_path(whole, point)
