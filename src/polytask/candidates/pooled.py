"""One scikit-learn estimator over the rows of all tasks: the task's number is a feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone

from polytask.candidates.base import Candidate, Rows, take
from polytask.candidates.per_task import Maker, predict_one
from polytask.data import TaskData
from polytask.tasks import Task


class Pooled(Candidate):
    """One estimator on the rows of all tasks of a kind, with the task's number as the last feature.

    The tasks of a kind must have the same classes. Scaled regression targets of different tasks are one
    target column then, which is why scaling comes first.

    Parameters
    ----------
    name : str
    make : callable
        Of a task: the estimator for its kind, or None.
    grid : sequence of dict
    """

    role = "sharing"

    def __init__(self, name: str, make: Maker, grid: Sequence[dict[str, Any]] = ({},)) -> None:
        self.name, self.make, self.grid = name, make, list(grid)

    def supports(self, task: Task) -> bool:
        return task.kind != "multilabel" and not task.soft and self.make(task) is not None

    def applies(self, data: TaskData) -> bool:
        kinds = {t.kind for t in data.tasks}
        return (
            data.own_rows
            and len(kinds) == 1
            and len({t.classes for t in data.tasks}) == 1
            and len(data.tasks) > 1
        )

    def settings(self, data: TaskData, n: int) -> list[Any]:
        return self.grid[:n]

    def fit(self, data: TaskData, setting: Any, seed: int) -> PooledModel:
        task = data.tasks[0]
        names = data.task_names
        number = np.concatenate([np.full(len(data.rows[t]), k) for k, t in enumerate(names)])
        rows = np.concatenate([data.rows[t] for t in names])
        y = np.concatenate([data.targets[t] for t in names])
        w = np.concatenate([data.weights[t] for t in names])
        design = with_task(take(data.X, rows), number)
        base = self.make(task)
        assert base is not None
        estimator = clone(base).set_params(**setting)
        if "random_state" in estimator.get_params(deep=False):
            estimator.set_params(random_state=seed)
        estimator.fit(design, y.astype(np.int64) if task.is_classification else y, sample_weight=w)
        return PooledModel(data.tasks, estimator)


class PooledModel:
    """A fitted estimator that knows the task by its last feature."""

    def __init__(self, tasks: Sequence[Task], estimator: Any) -> None:
        self.tasks, self.estimator = tuple(tasks), estimator

    def predict_tasks(self, X: Any, rows: Rows | None = None) -> dict[str, np.ndarray]:
        """All rows asked for go through the estimator in one call."""
        number = {t.name: k for k, t in enumerate(self.tasks)}
        wanted = dict.fromkeys(number) if rows is None else rows
        parts = {t: take(X, r) for t, r in wanted.items()}
        stack = sp.vstack if sp.issparse(X) else np.vstack
        design = stack([with_task(part, np.full(part.shape[0], number[t])) for t, part in parts.items()])
        all_of_them = predict_one(self.tasks[0], self.estimator, design)
        edges = np.cumsum([part.shape[0] for part in parts.values()])[:-1]
        return dict(zip(parts, np.split(all_of_them, edges)))


def with_task(X: Any, number: np.ndarray) -> Any:
    """The table with the task's number as its last column."""
    column = number.reshape(-1, 1).astype(np.float64)
    return sp.hstack([X, column]).tocsr() if sp.issparse(X) else np.hstack([X, column])
