"""Choosing penalties by cross-validation, for any linear model with a path."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from sklearn.base import clone

from polytask.linear.base import LinearTaskModel
from polytask.linear.folds import fold_moments, split_rows
from polytask.linear.moments import Moments
from polytask.linear.selection import CVErrors, cv_errors
from polytask.linear.table import LabelledTable

#: Relative duality gap of the final fit, far below what folds need.
_FINAL_TOL = 1e-11


class CrossValidatedModel(LinearTaskModel):
    """A linear model that chooses its penalties by cross-validation on moments, then fits all rows."""

    def _fit_table(self, table: LabelledTable) -> None:
        moments = Moments.from_table(table)
        grid = self._search_grid(moments)
        folds = fold_moments(table, split_rows(table, self.get_params(deep=False)["cv"]))
        errors = cv_errors(self.coef_path, folds, grid)
        self._warn_if_unconverged(errors.worst_gap, " in cross-validation")
        self.mse_path_ = errors.by_fold()
        best = self._best(errors, moments)
        self._set_choice(grid, best)
        self._set_solution(self._precise().coef_path(moments, self._chosen_point(grid, best)))

    def _best(self, errors: CVErrors, moments: Moments) -> np.ndarray | int:
        if self.penalty_per_task:
            return errors.choose_per_task()
        return errors.choose_jointly(self._scaling().scales(moments)[1])

    def _precise(self) -> LinearTaskModel:
        """The model that solves the final fit: one point costs little, so it is solved to more digits.

        Accelerated iterations that stop early keep a trace of rounding errors, such as the order of the rows.
        """
        params = self.get_params(deep=False)
        return clone(self).set_params(tol=min(params["tol"], _FINAL_TOL)) if "tol" in params else self

    def _chosen_point(self, grid: np.ndarray, best: np.ndarray | int) -> np.ndarray:
        """The grid that consists of the choice alone."""
        if self.penalty_per_task:
            return grid[best, np.arange(grid.shape[1])][None]
        return grid[best : best + 1]

    @abstractmethod
    def _search_grid(self, moments: Moments) -> np.ndarray:
        """The grid to choose from."""

    @abstractmethod
    def _set_choice(self, grid: np.ndarray, best: np.ndarray | int) -> None:
        """Set the fitted attributes that name the chosen penalties."""
