"""The one object that a comparison hands back: a model of every task that predicts, saves and loads."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polytask.candidates import Candidate, named_candidates
from polytask.candidates.base import mean_loss, null_losses
from polytask.data import TaskData, checks, frames
from polytask.data.scaling import TargetScaler
from polytask.data.targets import decode
from polytask.data.taskdata import task_labels
from polytask.errors import DataError, PolytaskWarning, SettingError
from polytask.evaluation.selection import choose
from polytask.experiment.preparation import suitable
from polytask.experiment.units import as_features, inner_folds, prepare
from polytask.tasks import Task


@dataclass
class Part:
    """A fitted model and the tasks that it answers for."""

    candidate: str
    role: str
    tasks: list[str]
    setting: Any
    model: Any


class BestModel:
    """Models that together predict all tasks, with the preprocessing they were fitted with.

    Made by `Comparison.best_model`, `fit_model` or `polytask.load`.

    Attributes
    ----------
    tasks : tuple of Task
    parts : list of Part
        Which candidate predicts which tasks.
    feature_names : list of str
        Columns that tables given to `predict` must have (by name if it is a frame).
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        parts: Sequence[Part],
        preprocessing: Any,
        scaler: TargetScaler,
        *,
        feature_names: Sequence[str],
        named: bool,
        form: str,
        task_column: str | None,
        target_column: str | None = None,
    ) -> None:
        self.tasks = tuple(tasks)
        self.parts = list(parts)
        self.preprocessing = preprocessing
        self.scaler = scaler
        self.feature_names = list(feature_names)
        self.named = named
        self.form = form
        self.task_column = task_column
        self.target_column = target_column

    @property
    def task_names(self) -> list[str]:
        return [t.name for t in self.tasks]

    def describe(self) -> dict[str, str]:
        """The candidate that predicts each task."""
        return {t: part.candidate for part in self.parts for t in part.tasks}

    # ------------------------------------------------------------------ prediction

    def predict(self, X: Any) -> Any:
        """Predictions in the task's own units and labels.

        Parameters
        ----------
        X : DataFrame or array
            Wide data: the features. Long data: the features and the task column.
            A mapping of task name to its own table works for both long and dict data.

        Returns
        -------
        DataFrame or ndarray
            In the caller's kind of table: a column per task (wide), or the task and its prediction (long).
            For a mapping: a mapping of task name to array.

        Raises
        ------
        DataError
            Naming missing columns, unknown tasks, text, infinite or huge values in numeric columns.
        """
        return self._table(X, lambda task, p: {task.name: _as_labels(task, p)})

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classification tasks, a column ``task: label`` each; others are left out."""
        if not any(t.is_classification for t in self.tasks):
            raise SettingError("predict_proba needs a classification task; all tasks here are numbers.")
        return self._table(X, _probability_columns)

    def predict_tasks(self, X: Any, rows: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
        """Numeric predictions per task: (n,) values or P(y=1), (n, k) probabilities.

        Parameters
        ----------
        X : table of shape (n, p)
            Features only, without the task column.
        rows : mapping of task name to row indices (None = all rows), optional
        """
        features = as_features(self.preprocessing.transform(self._features(X)))
        wanted = dict.fromkeys(self.task_names) if rows is None else dict(rows)
        out: dict[str, np.ndarray] = {}
        for part in self.parts:
            own = {t: wanted[t] for t in part.tasks if t in wanted}
            if own:
                out.update(part.model.predict_tasks(features, own))
        return self.scaler.inverse({t: out[t] for t in wanted})

    def save(self, folder: str | Path) -> None:
        """Write to a folder without pickle; see `polytask.persistence`."""
        from polytask.persistence import save

        save(self, folder)

    # ------------------------------------------------------------------ tables

    def _table(self, X: Any, columns_of: Any) -> Any:
        if isinstance(X, Mapping):
            return {name: self._one_task(str(name), table, columns_of) for name, table in X.items()}
        X = frames.check_table(X)
        if self.form == "wide":
            predictions = self.predict_tasks(X)
            columns: dict[str, np.ndarray] = {}
            for task in self.tasks:
                columns.update(columns_of(task, predictions[task.name]))
            return frames.frame_like(X, columns)
        return self._long_table(X, columns_of)

    def _one_task(self, name: str, table: Any, columns_of: Any) -> np.ndarray:
        self._known(name)
        table = frames.check_table(table, f"X of task '{name}'")
        columns = columns_of(self._task(name), self.predict_tasks(table, {name: None})[name])
        values = list(columns.values())
        return values[0] if len(values) == 1 else np.column_stack(values)

    def _long_table(self, X: Any, columns_of: Any) -> Any:
        """Own-row data in one frame: every row is predicted for the task in its task column."""
        column = self.task_column or "task"
        if not frames.is_frame(X):
            raise DataError(
                "This model was fitted on tasks with their own rows: give it a data frame with the column "
                f"'{column}', or a mapping of task name to table."
            )
        names = task_labels(frames.column(X, column))
        for name in dict.fromkeys(names.tolist()):
            self._known(name)
        rows = {t: np.flatnonzero(names == t) for t in self.task_names}
        rows = {t: r for t, r in rows.items() if len(r)}
        predictions = self.predict_tasks(frames.drop_columns(X, [column]), rows)
        columns: dict[str, np.ndarray] = {}
        for t, index in rows.items():
            for key, values in columns_of(self._task(t), predictions[t]).items():
                name = "prediction" if key == t else key.removeprefix(f"{t}: ")
                columns.setdefault(name, np.full(len(names), np.nan, dtype=object))[index] = values
        predicted = {name: frames.plain_column(values) for name, values in columns.items()}
        return frames.frame_like(X, {column: frames.column(X, column), **predicted})

    def _features(self, X: Any) -> Any:
        """The features the model was fitted on, in order; missing ones are an error, extra ones a warning."""
        X = frames.check_table(X)
        names = self.feature_names if self.named else None
        checks.check_same_columns(
            X, names, len(self.feature_names), "The table", "the data the model was fitted on"
        )
        found = frames.column_names(X)
        if self.named and found is None:
            warnings.warn(
                "The model was fitted on named columns and got a table without names: "
                "order is taken as given.",
                PolytaskWarning,
                stacklevel=4,
            )
        if not self.named or found is None:
            checks.check_finite_features(X)
            return X
        known = {*self.feature_names, *self.task_names, self.task_column, self.target_column}
        extra = [n for n in found if n not in known]
        if extra:
            shown = ", ".join(f"'{n}'" for n in extra[:5]) + (", …" if len(extra) > 5 else "")
            warnings.warn(
                f"Columns the model does not know are not used: {shown}.", PolytaskWarning, stacklevel=4
            )
        X = frames.select_columns(X, self.feature_names)
        checks.check_finite_features(X)
        return X

    def _known(self, name: str) -> None:
        if name not in self.task_names:
            raise DataError(f"No task '{name}' in this model.{frames.suggest(name, self.task_names)}")

    def _task(self, name: str) -> Task:
        return self.tasks[self.task_names.index(name)]

    def __repr__(self) -> str:
        by = ", ".join(f"{part.candidate} ({len(part.tasks)})" for part in self.parts)
        return f"BestModel({len(self.tasks)} tasks: {by})"


def fit_model(
    data: TaskData,
    models: Sequence[Any] | None = None,
    *,
    preprocessing: Any = None,
    inner_folds: int = 5,
    settings: int = 4,
    seed: int = 0,
) -> BestModel:
    """Tune, choose and fit without a comparison: the candidate of each task is chosen by inner validation.

    Parameters
    ----------
    data : TaskData
    models : sequence of names, (name, estimator) pairs or Candidate, optional
        One name fits just that; None tries the whole catalogue.
    preprocessing : transformer, optional
    inner_folds, settings, seed : int
        As in `polytask.compare`.
    """
    candidates = suitable(named_candidates(models), data)
    uncovered = [t.name for t in data.tasks if not any(c.supports(t) for c in candidates)]
    if uncovered:
        raise SettingError(f"No candidate can learn task '{uncovered[0]}' ({data.task(uncovered[0]).kind}).")
    if len(candidates) == 1:
        chosen = dict.fromkeys(data.task_names, candidates[0].name)
        return refit(
            data,
            candidates,
            chosen,
            preprocessing=preprocessing,
            n_inner=inner_folds,
            settings=settings,
            seed=seed,
        )
    part, _, _ = prepare(data, preprocessing)
    folds = _inner(part, inner_folds, seed)
    losses = {c.name: c.tune(_supported(c, part), folds, seed, settings).inner for c in candidates}
    null = {t: mean_loss(v) for t, v in null_losses(part, folds).items()}
    chosen = choose(losses, null, data.tasks)
    return refit(
        data,
        candidates,
        chosen,
        preprocessing=preprocessing,
        n_inner=inner_folds,
        settings=settings,
        seed=seed,
    )


def refit(
    data: TaskData,
    candidates: Sequence[Candidate],
    chosen: Mapping[str, str],
    *,
    preprocessing: Any,
    n_inner: int,
    settings: int,
    seed: int,
) -> BestModel:
    """Fit the chosen candidate of each task on all rows, tuned by inner validation.

    A sharing candidate learns from all tasks that it supports and answers for those that chose it.
    """
    part, transformer, scaler = prepare(data, preprocessing)
    folds = _inner(part, n_inner, seed)
    parts = []
    for candidate in candidates:
        own = [t for t in data.task_names if chosen[t] == candidate.name]
        if not own:
            continue
        learns_from = _supported(candidate, part) if candidate.role == "sharing" else part.select(own)
        tuned = candidate.tune(learns_from, folds, seed, settings)
        model = candidate.fit(learns_from, tuned.setting, seed)
        parts.append(Part(candidate.name, candidate.role, own, tuned.setting, model))
    named = frames.column_names(data.X) is not None
    return BestModel(
        data.tasks,
        parts,
        transformer,
        scaler,
        feature_names=data.feature_names,
        named=named,
        form=data.form,
        task_column=data.task_column,
        target_column=data.target_column,
    )


def _supported(candidate: Candidate, data: TaskData) -> TaskData:
    return data.select([t.name for t in data.tasks if candidate.supports(t)])


def _inner(data: TaskData, n: int, seed: int) -> list[Any]:
    return inner_folds(data, min(n, max(1, data.n_rows // 2)), seed)


def _as_labels(task: Task, p: np.ndarray) -> np.ndarray:
    """Numbers stay; probabilities become the likeliest label (multilabel: all labels above one half)."""
    if task.kind == "binary" and not task.soft:
        return decode(task, p > 0.5)
    if task.kind == "multiclass":
        return decode(task, p.argmax(axis=1))
    if task.kind == "multilabel":
        labels = np.asarray(task.classes, dtype=object)
        out = np.empty(len(p), dtype=object)
        out[:] = [", ".join(str(v) for v in labels[row > 0.5]) for row in p]
        return out
    return p


def _probability_columns(task: Task, p: np.ndarray) -> dict[str, np.ndarray]:
    if not task.is_classification:
        return {}
    classes = task.classes or (0, 1)
    if task.kind == "binary":
        p = np.column_stack([1 - p, p])
    return {f"{task.name}: {label}": p[:, k] for k, label in enumerate(classes)}
