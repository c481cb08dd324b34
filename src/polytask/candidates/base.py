"""What a candidate of a comparison is: a family of models, its settings, and whether it shares.

A candidate is tuned on inner folds of the training rows only, then fitted on all training rows. It gets
preprocessed features and scaled targets, the same ones for all candidates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from polytask.data import TaskData
from polytask.evaluation.folds import Fold
from polytask.evaluation.losses import constant_prediction, row_losses
from polytask.tasks import Task

Rows = Mapping[str, Any]


class TaskModel(Protocol):
    """A fitted multi-task model."""

    def predict_tasks(self, X: Any, rows: Rows | None = None) -> dict[str, np.ndarray]:
        """Predictions of the tasks in `rows` (task name to row indices or None = all rows); see `row_losses`."""
        ...


@dataclass
class Tuned:
    """What tuning found.

    Attributes
    ----------
    setting : Any
        Plain data (it goes to JSON): one setting for all tasks, or a dict per task.
    inner : dict of str to ndarray
        Per task the inner validation loss of every labelled training row at that setting, aligned with
        `TaskData.rows`; NaN where a row was in no validation fold.
    """

    setting: Any
    inner: dict[str, np.ndarray]


class Candidate(ABC):
    """A family of models that takes part in a comparison.

    Attributes
    ----------
    name : str
        Unique; shown in tables and reports.
    role : {"single", "sharing"}
        Whether its tasks learn apart or together.
    """

    name: str
    role: str

    @abstractmethod
    def supports(self, task: Task) -> bool:
        """Whether the family can learn this kind of task."""

    def applies(self, data: TaskData) -> bool:
        """Whether the family can learn this data (after the tasks it does not support are left out)."""
        return True

    @abstractmethod
    def settings(self, data: TaskData, n: int) -> list[Any]:
        """At most `n` settings to try, the best guess first."""

    @abstractmethod
    def fit(self, data: TaskData, setting: Any, seed: int) -> TaskModel:
        """Fit on all rows of `data` with this setting."""

    def tune(self, data: TaskData, folds: Sequence[Fold], seed: int, n_settings: int) -> Tuned:
        """Choose a setting by inner validation: for all tasks together, or per task if they learn apart."""
        options = self.settings(data, n_settings)
        losses = [self.inner_losses(data, folds, setting, seed) for setting in options]
        if self.role == "single":
            best = {t: int(np.argmin([mean_loss(each[t]) for each in losses])) for t in data.task_names}
            setting = {t: options[k] for t, k in best.items()}
            return Tuned(setting, {t: losses[k][t] for t, k in best.items()})
        null = {t: max(mean_loss(v), 1e-300) for t, v in null_losses(data, folds).items()}
        relative = [np.mean([mean_loss(each[t]) / null[t] for t in data.task_names]) for each in losses]
        k = int(np.argmin(relative))
        return Tuned(options[k], losses[k])

    def inner_losses(
        self, data: TaskData, folds: Sequence[Fold], setting: Any, seed: int
    ) -> dict[str, np.ndarray]:
        """Out-of-fold losses of one setting, per task and labelled row."""
        out = {t: np.full(len(data.rows[t]), np.nan) for t in data.task_names}
        for train, test in folds:
            part = data.subset(train)
            model = self.fit(part, setting, seed)
            fold_losses(model.predict_tasks, data, part, test, out)
        return out


def fold_losses(
    predict: Any, data: TaskData, part: TaskData, test: np.ndarray, out: dict[str, np.ndarray]
) -> None:
    """Write the losses of the test rows of one fold into `out`."""
    where, wanted = labelled_in(data, test)
    predictions = predict(data.X, wanted)
    for task in data.tasks:
        t = task.name
        if len(wanted.get(t, ())) == 0:
            continue
        scale = float(np.std(part.targets[t])) if task.kind == "regression" and len(part.targets[t]) else 1.0
        y = data.targets[t][where[t]]
        out[t][where[t]] = row_losses(task, y, predictions[t], len(part.targets[t]), scale or 1.0)


def labelled_in(data: TaskData, test: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Per task: positions in `data.rows` that lie in `test`, and those rows; tasks without any are left out."""
    inside = np.zeros(data.n_rows, dtype=bool)
    inside[test] = True
    where = {t: np.flatnonzero(inside[data.rows[t]]) for t in data.task_names}
    return where, {t: data.rows[t][w] for t, w in where.items() if len(w)}


def null_losses(data: TaskData, folds: Sequence[Fold]) -> dict[str, np.ndarray]:
    """Out-of-fold losses of the best constant, per task and labelled row: the scale of every comparison."""
    out = {t: np.full(len(data.rows[t]), np.nan) for t in data.task_names}
    for train, test in folds:
        part = data.subset(train)
        fold_losses(ConstantModel(part).predict_tasks, data, part, test, out)
    return out


class ConstantModel:
    """Predicts the best constant of each task."""

    def __init__(self, data: TaskData) -> None:
        self.data = data

    def predict_tasks(self, X: Any, rows: Rows | None = None) -> dict[str, np.ndarray]:
        wanted = dict.fromkeys(self.data.task_names) if rows is None else rows
        return {t: self._constant(t, X.shape[0] if r is None else len(r)) for t, r in wanted.items()}

    def _constant(self, name: str, n: int) -> np.ndarray:
        task, y, w = self.data.task(name), self.data.targets[name], self.data.weights[name]
        return constant_prediction(task, y, w, n)


def mean_loss(losses: np.ndarray) -> float:
    """Mean over the rows that were validated; infinite if none was, so that nothing is chosen on no evidence."""
    known = losses[~np.isnan(losses)]
    return float(known.mean()) if len(known) else float("inf")


def take(X: Any, rows: Any) -> Any:
    """Rows of a preprocessed table; None = all."""
    return X if rows is None else X[rows]
