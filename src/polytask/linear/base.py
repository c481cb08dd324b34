"""What all linear models share: checking data, fitting from moments, predicting."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from polytask.errors import DataError, PolytaskWarning
from polytask.linear.inputs import table_from_arrays, table_from_task_data
from polytask.linear.moments import Moments
from polytask.linear.paths import CoefPath, Scaling, Solution, coef_path
from polytask.linear.table import LabelledTable


class LinearTaskModel(RegressorMixin, BaseEstimator, ABC):
    """A linear model per task, fitted by squared loss from `Moments`."""

    #: Whether each task has a penalty of its own.
    penalty_per_task = False

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : (n, p) array, DataFrame or sparse matrix; or TaskData
            With a `TaskData`, whose tasks may have their own rows, y and sample_weight are left out.
        y : (n,) or (n, q) array or DataFrame
            A column per task; in two dimensions NaN is a missing label. Columns of a frame name the tasks.
        sample_weight : (n,) array, optional
            Non-negative.

        Returns
        -------
        self

        Raises
        ------
        DataError
            For labels that are infinite, or all missing in some task, and other unusable data.
        """
        is_task_data = hasattr(X, "targets") and hasattr(X, "task_names")
        build = table_from_task_data if is_task_data else table_from_arrays
        table, self._single_output = build(self, X, y, sample_weight)
        self.task_names_ = table.task_names
        self._fit_table(table)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict every task for every row.

        Parameters
        ----------
        X : (n, p) array, DataFrame or sparse matrix

        Returns
        -------
        (n,) array if the model was fitted on a one-dimensional y, else (n, q).
        """
        check_is_fitted(self, "coef_")
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        coef, intercept = np.atleast_2d(self.coef_), np.atleast_1d(self.intercept_)
        prediction = np.asarray(X @ coef.T) + intercept
        return prediction[:, 0] if self._single_output else prediction

    def predict_tasks(
        self, X: Any, rows: Mapping[str, np.ndarray | None] | None = None
    ) -> dict[str, np.ndarray]:
        """Predict tasks by name.

        Parameters
        ----------
        X : (n, p) array, DataFrame or sparse matrix
        rows : mapping of task name to row indices or None, optional
            Which tasks to predict, and for which rows (None: all). All tasks and rows by default.

        Returns
        -------
        dict of task name to (number of rows,) array, in the target's units
        """
        prediction = self.predict(X).reshape(-1, len(self.task_names_))
        wanted = dict.fromkeys(self.task_names_) if rows is None else rows
        unknown = [name for name in wanted if name not in self.task_names_]
        if unknown:
            raise DataError(
                f"No task named '{unknown[0]}' was fitted; the tasks are {', '.join(self.task_names_)}."
            )
        columns = {name: prediction[:, self.task_names_.index(name)] for name in wanted}
        return {name: columns[name] if part is None else columns[name][part] for name, part in wanted.items()}

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Mean over tasks of R² on the labels that are present.

        Parameters
        ----------
        X : (n, p) array, DataFrame or sparse matrix
        y : (n,) or (n, q) array or DataFrame
            NaN = missing label; tasks without any label are left out.
        sample_weight : (n,) array, optional
        """
        prediction = self.predict(X).reshape(-1, len(self.task_names_))
        truth = np.asarray(y, dtype=float).reshape(len(prediction), -1)
        weight = np.ones(len(truth)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        scores = []
        for column, guess in zip(truth.T, prediction.T):
            known = ~np.isnan(column)
            if known.any():
                scores.append(r2_score(column[known], guess[known], sample_weight=weight[known]))
        return float(np.mean(scores)) if scores else float("nan")

    def coef_path(self, moments: Moments, grid: np.ndarray) -> CoefPath:
        """Coefficients at every grid point, without fitting this estimator.

        Parameters
        ----------
        moments : Moments
        grid : (k, ...) array
            As `default_grid` returns it.
        """
        return coef_path(self._solve, moments, np.asarray(grid, dtype=float), self._scaling())

    def default_grid(
        self, moments: Moments, n_points: int | None = None, eps: float | None = None
    ) -> np.ndarray:
        """A grid of penalties scaled to the data, from strong to weak.

        Parameters
        ----------
        moments : Moments
        n_points : int, optional
            Number of penalty levels.
        eps : float, optional
            The least penalty as a share of the largest.

        Returns
        -------
        (k, q) array where each task has its own penalty, (k, 2) for mean-regularized models (alpha, sharing),
        else (k,).
        """
        return self._grid(self._scaling().apply(moments), n_points, eps)

    @abstractmethod
    def _solve(self, moments: Moments, grid: np.ndarray) -> Solution:
        """Coefficients at each grid point, for moments that are already scaled."""

    @abstractmethod
    def _grid(self, moments: Moments, n_points: int | None, eps: float | None) -> np.ndarray:
        """The default grid for moments that are already scaled."""

    @abstractmethod
    def _fit_table(self, table: LabelledTable) -> None:
        """Set the fitted attributes."""

    def _scaling(self) -> Scaling:
        params = self.get_params(deep=False)
        return Scaling(params["fit_intercept"], params["standardize"], params.get("scale_targets", False))

    def _set_solution(self, path: CoefPath) -> None:
        """Take the last point of a path as the fit."""
        coef, intercept = path.coef[-1], path.intercept[-1]
        self.coef_ = coef[0] if self._single_output else coef
        self.intercept_ = float(intercept[0]) if self._single_output else intercept
        if path.gap is None or path.n_iter is None:
            return
        self.n_iter_ = np.max(path.n_iter[-1], initial=1)
        gap = path.gap[-1]
        self.dual_gap_ = float(gap) if gap.ndim == 0 else (float(gap[0]) if self._single_output else gap)
        last = CoefPath(path.grid[-1:], path.coef[-1:], path.intercept[-1:], path.gap[-1:], path.null)
        self._warn_if_unconverged(last.worst_gap())

    def _warn_if_unconverged(self, worst_gap: float, where: str = "") -> None:
        tol = self.get_params(deep=False).get("tol")
        # Below 1e-13 the gap itself is rounding error.
        if tol is None or worst_gap <= max(tol, 1e-13):
            return
        warnings.warn(
            f"{type(self).__name__} stopped{where} at a duality gap of {worst_gap:.1e} times the objective "
            f"of zero coefficients, above tol={tol:g}. Raise max_iter or tol, or use stronger penalties"
            f"{'' if self._scaling().standardize else ', or standardize=True'}.",
            PolytaskWarning,
            stacklevel=5,
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.input_tags.sparse = True
        return tags


class FixedPenaltyModel(LinearTaskModel):
    """A linear model with given penalties."""

    def _fit_table(self, table: LabelledTable) -> None:
        moments = Moments.from_table(table)
        self._set_solution(self.coef_path(moments, self._point(moments.n_tasks)))

    @abstractmethod
    def _point(self, n_tasks: int) -> np.ndarray:
        """The grid that consists of the given penalties alone."""
