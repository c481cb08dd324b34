"""One scikit-learn estimator with several outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone

from polytask.candidates.base import Candidate, Rows, take
from polytask.data import TaskData
from polytask.tasks import Task


class MultiOutput(Candidate):
    """One estimator with several outputs (a forest whose trees split for all targets at once, say).

    Regression tasks without missing targets only: that is what scikit-learn's multi-output estimators take.
    """

    role = "sharing"

    def __init__(self, name: str, estimator: BaseEstimator, grid: Sequence[dict[str, Any]] = ({},)) -> None:
        self.name, self.estimator, self.grid = name, estimator, list(grid)

    def supports(self, task: Task) -> bool:
        return task.kind == "regression"

    def applies(self, data: TaskData) -> bool:
        complete = all(len(data.rows[t]) == data.n_rows for t in data.task_names)
        return not data.own_rows and complete and len(data.tasks) > 1

    def settings(self, data: TaskData, n: int) -> list[Any]:
        return self.grid[:n]

    def fit(self, data: TaskData, setting: Any, seed: int) -> MultiOutputModel:
        estimator = clone(self.estimator).set_params(**setting)
        if "random_state" in estimator.get_params(deep=False):
            estimator.set_params(random_state=seed)
        return MultiOutputModel(data.task_names, estimator.fit(data.X, data.wide_targets()))


class MultiOutputModel:
    """A fitted estimator with one output column per task."""

    def __init__(self, names: Sequence[str], estimator: Any) -> None:
        self.names, self.estimator = list(names), estimator

    def predict_tasks(self, X: Any, rows: Rows | None = None) -> dict[str, np.ndarray]:
        table = np.asarray(self.estimator.predict(X), dtype=np.float64).reshape(X.shape[0], -1)
        wanted = dict.fromkeys(self.names) if rows is None else rows
        return {t: take(table[:, self.names.index(t)], r) for t, r in wanted.items()}
