"""The linear models of `polytask.linear` as candidates: a whole path costs little more than one fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from polytask.candidates.base import Candidate, TaskModel, Tuned, fold_losses
from polytask.data import TaskData
from polytask.evaluation.folds import Fold
from polytask.linear import LabelledTable, Moments, cv_errors, fold_moments
from polytask.linear.paths import CoefPath
from polytask.linear.selection import cv_errors_of_rows
from polytask.tasks import Task

#: Inner validation needs no more of a path than this; finer ones change no choice.
POINTS, PATH_TOL, PATH_ITERATIONS = 20, 1e-3, 2000


class Linear(Candidate):
    """A linear model with its penalty chosen along a path.

    Parameters
    ----------
    name : str
    role : {"single", "sharing"}
    model : callable
        Makes the estimator at given penalties.
    penalties : sequence of str
        The parameters that a point of its grid holds.
    points : int or None
        Penalty levels of the grid; None = the model's own number.
    """

    def __init__(
        self,
        name: str,
        role: str,
        model: Callable[..., Any],
        penalties: Sequence[str] = ("alpha",),
        points: int | None = POINTS,
    ) -> None:
        self.name, self.role, self.model = name, role, model
        self.penalties, self.points = tuple(penalties), points

    def supports(self, task: Task) -> bool:
        return task.kind == "regression"

    def applies(self, data: TaskData) -> bool:
        return (self.role == "single" or len(data.tasks) > 1) and self._takes(data)

    def settings(self, data: TaskData, n: int) -> list[Any]:
        return []  # the path takes their place

    def tune(self, data: TaskData, folds: Sequence[Fold], seed: int, n_settings: int) -> Tuned:
        table = LabelledTable.from_task_data(data)
        model = self._path_model()
        from_rows = model._wants_rows(table)
        grid = model.default_grid(table if from_rows else Moments.from_table(table), self.points)
        fitted: list[CoefPath] = []

        def path(part: Moments | LabelledTable, points: np.ndarray) -> CoefPath:
            fitted.append(model.coef_path(part, points))
            return fitted[-1]

        if from_rows:
            errors = cv_errors_of_rows(path, table, list(folds), grid, model.loss)
        else:
            errors = cv_errors(path, fold_moments(table, list(folds)), grid)
        model._warn_if_unconverged(errors, " in inner validation")
        best = errors.choose_per_task() if model.penalty_per_task else errors.choose_jointly()
        return Tuned(self._setting(grid, best), _losses_at(best, data, folds, fitted))

    def fit(self, data: TaskData, setting: Any, seed: int) -> TaskModel:
        return self.model(standardize=True, **setting).fit(data)

    def _takes(self, data: TaskData) -> bool:
        """Whether the model can be fitted on data of this form."""
        return data.form == "wide" or not self.model().can.own_rows

    def _path_model(self) -> Any:
        model = self.model(standardize=True)
        if "tol" in model.get_params():
            model.set_params(tol=PATH_TOL, max_iter=PATH_ITERATIONS)
        return model

    def _setting(self, grid: np.ndarray, best: np.ndarray | int) -> dict[str, Any]:
        """The chosen penalties as plain data."""
        if isinstance(best, np.ndarray):
            return {self.penalties[0]: grid[best, np.arange(grid.shape[1])].tolist()}
        return dict(zip(self.penalties, np.atleast_1d(grid[best]).tolist()))


class _Coefficients:
    """Predictions by coefficients (q, p) and intercepts (q,)."""

    def __init__(self, names: list[str], coef: np.ndarray, intercept: np.ndarray) -> None:
        self.names, self.coef, self.intercept = names, coef, intercept

    def predict_tasks(self, X: Any, rows: Any) -> dict[str, np.ndarray]:
        k = {t: self.names.index(t) for t in rows}
        return {t: np.asarray(X[r] @ self.coef[k[t]]) + self.intercept[k[t]] for t, r in rows.items()}


def _losses_at(
    best: np.ndarray | int, data: TaskData, folds: Sequence[Fold], fitted: Sequence[CoefPath]
) -> dict[str, np.ndarray]:
    """Inner validation losses of every labelled row at the chosen point of the path."""
    names = data.task_names
    points = np.broadcast_to(best, (len(names),))
    out = {t: np.full(len(data.rows[t]), np.nan) for t in names}
    for (train, test), path in zip(folds, fitted):
        each = np.arange(len(names))
        model = _Coefficients(names, path.coef[points, each], path.intercept[points, each])
        fold_losses(model.predict_tasks, data, data.subset(train), test, out)
    return out
