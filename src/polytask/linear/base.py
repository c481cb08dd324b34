"""What all linear models share: settings, checking data, solving on one scale, predicting."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from polytask.data.long_tables import split_off_tasks
from polytask.errors import DataError, PolytaskWarning, SettingError
from polytask.linear.capabilities import Capabilities
from polytask.linear.classes import common_classes
from polytask.linear.describing import describe
from polytask.linear.grids import grid_over
from polytask.linear.inputs import FitData, fit_data, has_task_column, positions_of
from polytask.linear.losses.kinds import KINDS
from polytask.linear.moments import Moments
from polytask.linear.paths import CoefPath, Solution
from polytask.linear.penalty import alpha_per_task, one_penalty
from polytask.linear.problem import Problem, is_wide
from polytask.linear.responses import labels_of, mean_score, rows_to_predict, tags_for
from polytask.linear.table import LabelledTable
from polytask.linear.units import path_in_units, scaled_problem

if TYPE_CHECKING:
    from polytask.linear.selection import CVErrors


def _classifies(model: LinearTaskModel) -> bool:
    return model.loss == "logistic"


@dataclass(eq=False, repr=False, kw_only=True)
class LinearTaskModel(BaseEstimator, ABC):
    """A linear model per task, whose coefficients are penalised together.

    Parameters
    ----------
    task_column : str or int, optional
        Long form: the column of X, by name or position, that says which task a row belongs to; y is then one
        target. Tables given to `predict` may have the column, too.
    loss : {"squared", "logistic", "poisson"}
        ℓ(y, z) of a label and its linear predictor: ½(y − z)²; log(1 + e^z) − yz for two classes;
        e^z − yz for counts.
    fit_intercept : bool
        Each task has its own unpenalised intercept.
    standardize : bool
        Penalise coefficients of features divided by their standard deviation within tasks; `coef_` is in the
        features' units all the same.
    scale_targets : bool
        Divide each target by its standard deviation while fitting, so that tasks in large units do not decide
        alone what is shared. Leave it off for tasks that measure one thing in one unit. Squared loss only.
    penalty_factors : (p,) array, optional
        Multiplies the penalty of each feature; 0 leaves it unpenalised.
    positive : bool
        Only coefficients of zero or more.
    warm_start : bool
        Start from the coefficients of the last fit.
    tol : float
        Stop when the duality gap is at most tol times the loss at zero coefficients.
    max_iter : int
        Largest number of iterations per penalty.
    """

    #: What this model can do; see `docs/linear.md`.
    can: ClassVar[Capabilities] = Capabilities()
    #: The settings that make a point of the grid, the strength of the penalty first.
    penalties: ClassVar[tuple[str, ...]] = ("alpha",)
    #: What `default_grid` tries of the penalties after the first.
    tries: ClassVar[dict[str, tuple[float, ...]]] = {}
    #: Whether each task has a penalty of its own.
    penalty_per_task: ClassVar[bool] = False
    #: Ω(cB) = |c|^degree Ω(B): penalty factors are then a matter of scale. None: the solver takes them.
    penalty_degree: ClassVar[int | None] = 1
    #: Relative gap of the fit at penalties that cross-validation chose, far below what folds need.
    final_tol: ClassVar[float] = 1e-11
    #: Whether the strength may be zero.
    zero_penalty: ClassVar[bool] = False

    task_column: str | int | None = None
    loss: str = "squared"
    fit_intercept: bool = True
    standardize: bool = False
    scale_targets: bool = False
    penalty_factors: Any = None
    positive: bool = False
    warm_start: bool = False
    tol: float = 1e-4
    max_iter: int = 10_000

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : (n, p) array, DataFrame or sparse matrix; or TaskData, Moments or dict of name to (X_t, y_t)
            With a `TaskData`, whose tasks may have their own rows, `Moments` or a dict, y and sample_weight
            are left out.
        y : (n,) or (n, q) array or DataFrame
            A column per task; in two dimensions NaN is a missing label. Columns of a frame name the tasks.
            With `task_column` the one target (n,) of all tasks, where NaN is a missing label, too.
        sample_weight : (n,) array, optional
            Non-negative.

        Returns
        -------
        self

        Raises
        ------
        DataError
            For labels that are infinite, or all missing in some task, and other unusable data.
        SettingError
            For settings that this model can't take.
        """
        self.can.check_settings(self)
        given = fit_data(self, X, y, sample_weight)
        self.can.check_data(self, given.data)
        self._take_names(given)
        self._fit_data(given.data)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict every task for every row: values, labels of classes, or expected counts.

        Parameters
        ----------
        X : (n, p) array, DataFrame or sparse matrix
            With the task column of the training data, each row is predicted for its own task.

        Returns
        -------
        (n,) array if the model was fitted on a one-dimensional y or X has the task column, else (n, q).

        Raises
        ------
        DataError
            For tasks that were not fitted, by name.
        """
        decision, row_task = self._decisions(X)
        prediction = labels_of(self.loss, decision, self._task_classes, row_task)
        return prediction[:, 0] if self._single_output else prediction

    @available_if(_classifies)
    def decision_function(self, X: Any) -> np.ndarray:
        """Linear predictors, log odds of the second class, in the shape of `predict`."""
        decision, _ = self._decisions(X)
        return decision[:, 0] if self._single_output else decision

    @available_if(_classifies)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities: (n, 2) of both classes where `predict` is flat, else (n, q) of each task's second class."""
        p = KINDS["logistic"].mean(self.decision_function(X))
        return np.column_stack([1 - p, p]) if p.ndim == 1 else p

    def predict_tasks(
        self, X: Any, rows: Mapping[str, np.ndarray | None] | None = None
    ) -> dict[str, np.ndarray]:
        """Predict tasks by name: values, probabilities of the second class, or expected counts.

        Parameters
        ----------
        X : (n, p) array, DataFrame or sparse matrix
        rows : mapping of task name to row indices or None, optional
            Which tasks to predict, and for which rows (None: all). All tasks and rows by default.

        Returns
        -------
        dict of task name to (number of rows,) array, in the target's units
        """
        if rows is not None and not isinstance(rows, Mapping):
            raise DataError(
                f"rows must be a mapping of task name to row indices, got a {type(rows).__name__}."
            )
        prediction = KINDS[self.loss].mean(self._decision(X))
        wanted = dict.fromkeys(self.task_names_) if rows is None else rows
        unknown = [name for name in wanted if name not in self.task_names_]
        if unknown:
            raise DataError(
                f"No task named '{unknown[0]}' was fitted; the tasks are {', '.join(self.task_names_)}."
            )
        parts = {name: rows_to_predict(part, len(prediction), name) for name, part in wanted.items()}
        return {name: prediction[part, self.task_names_.index(name)] for name, part in parts.items()}

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Mean over tasks of R² (accuracy for classes, explained deviance for counts) on labels that are present.

        Parameters
        ----------
        X : (n, p) array, DataFrame or sparse matrix
            With the task column of the training data, y has one dimension.
        y : (n,) or (n, q) array or DataFrame
            NaN = missing label; tasks without any label are left out. Columns of a frame are taken by name.
        sample_weight : (n,) array, optional
        """
        return mean_score(self, X, y, sample_weight)

    def coef_path(self, data: Moments | LabelledTable, grid: np.ndarray) -> CoefPath:
        """Coefficients at every grid point, without fitting this estimator.

        Parameters
        ----------
        data : Moments or LabelledTable
        grid : (k, ...) array
            As `default_grid` returns it.
        """
        return path_in_units(self, data, np.asarray(grid, dtype=float))

    def default_grid(
        self, data: Moments | LabelledTable, n_points: int | None = None, eps: float | None = None
    ) -> np.ndarray:
        """A grid of penalties scaled to the data, from strong to weak.

        Parameters
        ----------
        data : Moments or LabelledTable
        n_points : int, optional
            Number of levels of the first penalty.
        eps : float, optional
            The least level as a share of the largest.

        Returns
        -------
        (k, q) array where each task has its own penalty, (k, d) for models of d penalties, else (k,).
        """
        problem = scaled_problem(self, data)
        return grid_over(self, problem, n_points, eps, self.tries)

    def describe(self) -> dict[str, Any]:
        """The fitted model as plain data: names, coefficients, penalties and what it learned besides."""
        return describe(self)

    @abstractmethod
    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        """Coefficients at each grid point."""

    @abstractmethod
    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        """Levels (k,) or (k, q) of the first penalty, from strong to weak, at one choice of the others."""

    @abstractmethod
    def _fit_data(self, data: Moments | LabelledTable) -> None:
        """Set the fitted attributes."""

    def _wants_rows(self, table: LabelledTable) -> bool:
        """Whether this model is fitted from rows rather than from their moments."""
        return self.loss != "squared" or is_wide(table)

    def _take_names(self, given: FitData) -> None:
        self._single_output, self._dtype = given.single, given.dtype
        self.task_names_ = given.data.task_names
        self.n_features_in_ = given.data.n_features
        self._task_classes, self._task_column = given.classes, given.task_column
        if given.classes is not None:
            self.classes_ = common_classes(given.classes)

    def _decision(self, X: Any) -> np.ndarray:
        """(n, q) linear predictors of all tasks."""
        X, _ = self._features(X)
        coef, intercept = np.atleast_2d(self.coef_), np.atleast_1d(self.intercept_)
        return np.asarray(X @ coef.T) + intercept

    def _decisions(self, X: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Linear predictors (n, q) and None, or those of each row's own task (n,) and the tasks' positions."""
        X, row_task = self._features(X)
        coef, intercept = np.atleast_2d(self.coef_), np.atleast_1d(self.intercept_)
        if row_task is None:
            return np.asarray(X @ coef.T) + intercept, None
        own = np.empty(len(row_task), dtype=coef.dtype)
        for t in np.unique(row_task):
            rows = np.flatnonzero(row_task == t)
            own[rows] = X[rows] @ coef[t] + intercept[t]
        return own, row_task

    def _features(self, X: Any) -> tuple[Any, np.ndarray | None]:
        """Checked features (n, p), and each row's task (n,) by position where X has the task column."""
        check_is_fitted(self, "coef_")
        row_task = None
        column = self._task_column
        if column is not None and has_task_column(X, column, self.n_features_in_):
            X, names = split_off_tasks(X, column)
            row_task = positions_of(names, self.task_names_)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        return X, row_task

    def _set_path_end(self, path: CoefPath) -> None:
        """Take the last point of a path as the fit."""
        coef, intercept = path.coef[-1].astype(self._dtype), path.intercept[-1].astype(self._dtype)
        self.coef_ = coef[0] if self._single_output else coef
        self.intercept_ = intercept[0].item() if self._single_output else intercept
        for name, values in path.learned.items():
            last = values[-1]
            setattr(
                self, f"{name}_", last.item() if np.ndim(last) == 0 and not isinstance(last, str) else last
            )
        # Closed forms take one step.
        self.n_iter_ = 1 if path.n_iter is None else int(np.max(path.n_iter[-1], initial=1))
        if path.gap is None:
            return
        gap = path.gap[-1]
        value = float(np.ravel(gap)[0]) if np.ndim(gap) == 0 or self._single_output else gap
        setattr(self, "dual_gap_" if path.measure == "duality gap" else "residual_", value)
        self._warn_if_unconverged(path.end())

    def _warn_if_unconverged(self, path: CoefPath | CVErrors, where: str = "") -> None:
        # Below 1e-13 the gap itself is rounding error.
        if path.worst_gap <= max(self.tol, 1e-13):
            return
        warnings.warn(
            f"{type(self).__name__} stopped{where} at a relative {path.measure} of {path.worst_gap:.1e}, above "
            f"tol={self.tol:g}. Raise max_iter or tol, or use stronger penalties"
            f"{'' if self.standardize else ', or standardize=True'}.",
            PolytaskWarning,
            stacklevel=5,
        )

    def _check_penalties(self, name: str, values: Any) -> np.ndarray:
        """Checked values of a penalty after the first."""
        raise NotImplementedError(name)

    def _learned_in_units(
        self, learned: dict[str, np.ndarray], unit: np.ndarray, y_scale: np.ndarray
    ) -> dict[str, np.ndarray]:
        """What the model learns, in the data's units: unit (q, p) is that of coefficients, y_scale of targets."""
        return learned

    def __sklearn_tags__(self) -> Tags:
        return tags_for(super().__sklearn_tags__(), self.loss)


@dataclass(eq=False, repr=False, kw_only=True)
class FixedPenaltyModel(LinearTaskModel):
    """A linear model with given penalties, which are settings of their own."""

    def _fit_data(self, data: Moments | LabelledTable) -> None:
        self._set_path_end(self.coef_path(data, self._point(len(data.task_names))))

    def _point(self, n_tasks: int) -> np.ndarray:
        """The grid that consists of the given penalties alone."""
        first, *others = self.penalties
        positive = not self.zero_penalty
        if self.penalty_per_task:
            return alpha_per_task(getattr(self, first), n_tasks, positive=positive)
        alpha = one_penalty(getattr(self, first), first, positive=positive)
        for name in others:
            if np.ndim(getattr(self, name)) != 0:
                shape = np.shape(getattr(self, name))
                raise SettingError(f"{name} must be one number for all tasks, got shape {shape}.")
        rest = [float(self._check_penalties(name, [getattr(self, name)])[0]) for name in others]
        return np.array([[alpha, *rest]]) if others else np.array([alpha])
