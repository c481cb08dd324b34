"""Choosing penalties by cross-validation, for any linear model with a path."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from polytask.errors import DataError, PolytaskWarning
from polytask.linear.base import LinearTaskModel
from polytask.linear.folds import split_rows, whole_and_folds
from polytask.linear.grids import grid_of, grid_over
from polytask.linear.moments import Moments
from polytask.linear.penalty import alpha_list, grid_per_task
from polytask.linear.selection import CVErrors, check_rule, cv_errors, cv_errors_of_rows
from polytask.linear.table import LabelledTable
from polytask.linear.units import scaled_problem, target_scales


@dataclass(eq=False, repr=False, kw_only=True)
class CrossValidatedModel(LinearTaskModel):
    """A linear model that chooses its penalties by cross-validation, then fits all rows.

    Parameters
    ----------
    alphas : list of float, optional
        Penalties to choose from. By default `n_alphas` values, scaled to the data.
    n_alphas : int, optional
        By default the model's own number.
    eps : float, optional
        The least penalty of the default grid as a share of the largest; by default the model's own.
    cv : int, splitter or list of (train, test) index arrays
        An int cuts folds within each task where tasks have their own rows, by group or time order where the
        `TaskData` has them, else into consecutive blocks.
    selection : {"min", "1se"}
        The penalties of least error, or the strongest first penalty within one standard error of it.
    tol : float
        Relative gap at which a fold's fit stops; the final fit is solved to `final_tol` where `max_iter` allows.
    """

    alphas: Any = None
    n_alphas: int | None = None
    eps: float | None = None
    cv: Any = 5
    selection: str = "min"

    def _fit_data(self, data: Moments | LabelledTable) -> None:
        if isinstance(data, Moments):
            raise DataError(
                f"{type(self).__name__} cuts folds from rows, which moments don't hold: call fit(X, y), or build "
                "the folds' moments yourself and use polytask.linear.cv_errors."
            )
        rule = check_rule(self.selection)
        splits = split_rows(data, self.cv)
        if self._wants_rows(data):
            grid = self._search_grid(data)
            errors = cv_errors_of_rows(self.coef_path, data, splits, grid, self.loss)
        else:
            # Grid and final fit take the sum of the folds' moments: another pass over the rows would cost more.
            data, folds = whole_and_folds(data, splits)
            grid = self._search_grid(data)
            errors = cv_errors(self.coef_path, folds, grid)
        self._check_tested(errors)
        self._warn_if_unconverged(errors, " in cross-validation")
        setattr(self, "mse_path_" if self.loss == "squared" else "deviance_path_", errors.by_fold())
        if self.penalty_per_task:
            best: Any = errors.choose_per_task(rule, grid)
            point = grid[best, np.arange(grid.shape[1])][None]
        else:
            best = errors.choose_jointly(target_scales(self, data), rule, grid)
            point = grid[best : best + 1]
        self._set_choice(grid, point[0])
        self._set_path_end(self._precise().coef_path(data, point))

    def _check_tested(self, errors: CVErrors) -> None:
        """Refuse folds that test nothing; name tasks that choose a penalty of their own and were never tested."""
        untested = errors.weight.sum(axis=0) == 0
        if untested.all():
            raise DataError(
                "No fold has a task with both training and test labels, so there is nothing to choose penalties "
                "by; pass other folds as cv."
            )
        if self.penalty_per_task and untested.any():
            names = ", ".join(f"'{self.task_names_[t]}'" for t in np.flatnonzero(untested)[:5])
            warnings.warn(
                f"Never tested on any fold: {names}{', …' if untested.sum() > 5 else ''}. Without errors of their "
                "own, these tasks take the penalty with the least error summed over the others.",
                PolytaskWarning,
                stacklevel=4,
            )

    def _precise(self) -> LinearTaskModel:
        """The model that solves the final fit: one point costs little, so it is solved to more digits.

        Accelerated iterations that stop early keep a trace of rounding errors, such as the order of the rows.
        """
        return clone(self).set_params(tol=min(self.tol, self.final_tol))

    def _search_grid(self, data: Moments | LabelledTable) -> np.ndarray:
        """The grid to choose from."""
        others = {name: self._check_penalties(name, getattr(self, f"{name}s")) for name in self.penalties[1:]}
        if self.alphas is None:
            return grid_over(self, scaled_problem(self, data), self.n_alphas, self.eps, others)
        alphas = alpha_list(self.alphas, "alphas", positive=not self.zero_penalty)
        if self.penalty_per_task:
            return grid_per_task(alphas, data.n_tasks)
        return grid_of(alphas, others)

    def _set_choice(self, grid: np.ndarray, chosen: np.ndarray) -> None:
        """Set the fitted attributes that name the penalties tried and chosen."""
        if self.penalty_per_task:
            self.alphas_ = grid[:, 0] if self._single_output else grid
            self.alpha_ = float(chosen[0]) if self._single_output else chosen
            return
        setattr(self, "grid_" if len(self.penalties) > 1 else f"{self.penalties[0]}s_", grid)
        for name, value in zip(self.penalties, np.atleast_1d(chosen)):
            setattr(self, f"{name}_", float(value))
