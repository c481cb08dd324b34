"""Any scikit-learn estimator, one per task: forests, boosting, logistic regression, or the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.utils.validation import has_fit_parameter

from polytask.candidates.base import Candidate, Rows, take
from polytask.data import TaskData
from polytask.errors import SettingError
from polytask.tasks import Task

Maker = Callable[[Task], BaseEstimator | None]


class PerTask(Candidate):
    """One estimator per task, tuned per task.

    Parameters
    ----------
    name : str
    make : estimator or callable
        The estimator, or a function of the task that gives one (None: the kind is not supported).
    grid : sequence of dict
        Settings (`set_params`) to try, the best guess first.
    """

    role = "single"

    def __init__(
        self, name: str, make: Maker | BaseEstimator, grid: Sequence[dict[str, Any]] = ({},)
    ) -> None:
        self.name = name
        self.make = make if not isinstance(make, BaseEstimator) else _SameEstimator(name, make)
        self.grid = list(grid)

    def supports(self, task: Task) -> bool:
        return not (task.soft and task.kind != "regression") and self.make(task) is not None

    def settings(self, data: TaskData, n: int) -> list[Any]:
        return self.grid[:n]

    def fit(self, data: TaskData, setting: Any, seed: int) -> PerTaskModel:
        estimators = {}
        for task in data.tasks:
            own = setting.get(task.name, {}) if _is_per_task(setting) else setting
            estimators[task.name] = self._fit_task(task, data, own, seed)
        return PerTaskModel(data.tasks, estimators)

    def _fit_task(self, task: Task, data: TaskData, setting: dict[str, Any], seed: int) -> list[Any]:
        """The estimators of a task: one, or one per label for multilabel tasks."""
        X, y, w = data.X[data.rows[task.name]], data.targets[task.name], data.weights[task.name]
        if task.kind != "multilabel":
            return [self._fit_one(task, X, y, w, setting, seed)]
        label = Task(task.name, "binary")
        fitted = []
        for j in range(y.shape[1]):
            known = ~np.isnan(y[:, j])
            fitted.append(self._fit_one(label, X[known], y[known, j], w[known], setting, seed))
        return fitted

    def _fit_one(
        self, task: Task, X: Any, y: np.ndarray, w: np.ndarray, setting: dict[str, Any], seed: int
    ) -> Any:
        """A fitted estimator, or the constant where there is nothing to learn from these rows."""
        if len(y) < 2 or (y == y[0]).all():
            return float(y[0]) if len(y) else 0.0
        base = self.make(task)
        assert base is not None  # supports() was asked first
        estimator = clone(base).set_params(**setting)
        if "random_state" in estimator.get_params(deep=False):
            estimator.set_params(random_state=seed)
        if task.is_classification:
            y = y.astype(np.int64)
        weighted = not (w == w[0]).all() and has_fit_parameter(estimator, "sample_weight")
        return estimator.fit(X, y, sample_weight=w) if weighted else estimator.fit(X, y)


class PerTaskModel:
    """Fitted estimators per task."""

    def __init__(self, tasks: Sequence[Task], estimators: dict[str, list[Any]]) -> None:
        self.tasks = {t.name: t for t in tasks}
        self.estimators = estimators

    def predict_tasks(self, X: Any, rows: Rows | None = None) -> dict[str, np.ndarray]:
        wanted = dict.fromkeys(self.tasks) if rows is None else rows
        return {name: self._predict(self.tasks[name], take(X, r)) for name, r in wanted.items()}

    def _predict(self, task: Task, X: Any) -> np.ndarray:
        if task.kind == "multilabel":
            each = Task(task.name, "binary", classes=(0, 1))
            return np.column_stack([predict_one(each, e, X) for e in self.estimators[task.name]])
        return predict_one(task, self.estimators[task.name][0], X)


def predict_one(task: Task, estimator: Any, X: Any) -> np.ndarray:
    """Predictions of one estimator in the library's form, with classes it never saw at probability zero."""
    n = X.shape[0]
    if isinstance(estimator, float):
        if task.kind == "multiclass":
            return np.tile(np.eye(task.n_outputs)[int(estimator)], (n, 1))
        return np.full(n, estimator)
    if not task.is_classification:
        return np.asarray(estimator.predict(X), dtype=np.float64).reshape(n)
    p = estimator.predict_proba(X)
    full = np.zeros((n, 2 if task.kind == "binary" else task.n_outputs))
    full[:, np.asarray(estimator.classes_, dtype=np.int64)] = p
    return full[:, 1] if task.kind == "binary" else full


class _SameEstimator:
    """The user's estimator for every task it suits: a classifier for classes, a regressor for numbers."""

    def __init__(self, name: str, estimator: BaseEstimator) -> None:
        self.estimator = estimator
        if not hasattr(estimator, "fit") or not hasattr(estimator, "predict"):
            raise SettingError(f"Candidate '{name}': {type(estimator).__name__} has no fit and predict.")
        if is_classifier(estimator) and not hasattr(estimator, "predict_proba"):
            raise SettingError(
                f"Candidate '{name}': {type(estimator).__name__} has no predict_proba, which comparisons need; "
                "wrap it in CalibratedClassifierCV."
            )

    def __call__(self, task: Task) -> BaseEstimator | None:
        return self.estimator if is_classifier(self.estimator) == task.is_classification else None


def _is_per_task(setting: Any) -> bool:
    return any(isinstance(value, dict) for value in setting.values())
