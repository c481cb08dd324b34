"""`TaskData`: several tasks over one table, in one internal form.

Per task: the indices of its labelled rows, the targets and the weights. A wide table, a long table with a
task column and one table per task all become this, so models and comparisons know one form only.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polytask.data import checks, frames
from polytask.data.targets import check_finite, check_varies, encode, parse_numbers
from polytask.errors import DataError, PolytaskWarning
from polytask.tasks import Task, check_unique


class TaskData:
    """Several tasks over one feature table.

    Build it with `from_wide`, `from_long` or `from_dict`.

    Attributes
    ----------
    X : DataFrame, ndarray of shape (n_rows, p) or csr_matrix
        The features of all rows, in the caller's kind of table.
    tasks : tuple of Task
        With kinds and classes resolved.
    rows : dict of str to ndarray of int
        Per task the sorted indices of the rows of `X` that have a label.
    targets : dict of str to ndarray
        Per task, aligned with `rows`: floats (n_t,) for regression and counts, 0/1 or a probability for
        binary, class codes for multiclass ((n_t, k) probabilities if soft), (n_t, k) for multilabel where a
        single NaN is a missing label.
    weights : dict of str to ndarray
        Per task, aligned with `rows`; ones unless `sample_weight` was given.
    groups, time : ndarray of shape (n_rows,) or None
        Rows of one group stay together in folds; time orders them.
    form : {"wide", "long", "dict"}
    task_column, target_column : str or None
        The columns that held task and target in long form. Tables given to `predict` have the task column.
    """

    def __init__(
        self,
        X: Any,
        tasks: Sequence[Task],
        rows: dict[str, np.ndarray],
        targets: dict[str, np.ndarray],
        weights: dict[str, np.ndarray],
        *,
        groups: np.ndarray | None = None,
        time: np.ndarray | None = None,
        form: str = "wide",
        task_column: str | None = None,
        target_column: str | None = None,
    ) -> None:
        self.X = X
        self.tasks = check_unique(tasks)
        self.rows = rows
        self.targets = targets
        self.weights = weights
        self.groups = groups
        self.time = time
        self.form = form
        self.task_column = task_column
        self.target_column = target_column

    # ------------------------------------------------------------------ construction

    @classmethod
    def from_wide(
        cls,
        X: Any,
        Y: Any,
        tasks: Sequence[Task] | None = None,
        *,
        groups: Any = None,
        time: Any = None,
        sample_weight: Any = None,
    ) -> TaskData:
        """One table, several target columns; a missing target (NaN, None) is a missing label.

        Parameters
        ----------
        X : DataFrame, array or sparse matrix of shape (n, p)
        Y : DataFrame, array of shape (n,) or (n, q), Series, or mapping of task name to array
            A mapping may hold (n, k) arrays: multilabel tasks.
        tasks : sequence of Task, optional
            Overrides what is inferred, matched by name (or by position where Y has no names).
        groups, time : array of shape (n,), optional
        sample_weight : array of shape (n,), optional

        Raises
        ------
        DataError
            Lengths that differ, a target among the features, infinite values, a target that is all missing,
            constant or has one label, duplicated columns, text in a numeric column.
        """
        X = frames.check_table(X)
        columns = _target_columns(Y, tasks)
        checks.refuse_targets_among_features(X, columns)
        checks.check_features(X)
        declared = _match_tasks(tasks, list(columns))
        weight = _row_vector(sample_weight, frames.n_rows(X), "sample_weight")
        return cls._encoded(X, columns, declared, weight, groups, time, form="wide")

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        targets: Sequence[str],
        tasks: Sequence[Task] | None = None,
        *,
        drop: Sequence[str] = (),
        groups: str | None = None,
        time: str | None = None,
        sample_weight: str | None = None,
    ) -> TaskData:
        """A wide frame that holds features and targets: the named columns are targets, the rest features.

        Parameters
        ----------
        frame : DataFrame
        targets : sequence of str
            Target columns, one task each.
        tasks : sequence of Task, optional
            Overrides what is inferred, by name.
        drop : sequence of str
            Columns that are not features.
        groups, time, sample_weight : str, optional
            Columns with these meanings; they are taken out of the features.
        """
        frame = frames.check_table(frame, "the table")
        if not frames.is_frame(frame):
            raise DataError(
                "from_frame needs a data frame (pandas or polars); use from_wide(X, Y) for arrays."
            )
        if not targets:
            raise DataError("No target columns were named.")
        columns = {str(name): frames.column(frame, name) for name in dict.fromkeys(targets)}
        special = _special_columns(frame, groups=groups, time=time, sample_weight=sample_weight)
        features = _without(frame, [*columns, groups, time, sample_weight, *drop])
        return cls.from_wide(
            frames.check_table(features, "the table without its targets"), columns, tasks, **special
        )

    @classmethod
    def from_long(
        cls,
        frame: Any,
        task: str,
        target: str,
        tasks: Sequence[Task] | None = None,
        *,
        kind: str | None = None,
        groups: str | None = None,
        time: str | None = None,
        sample_weight: str | None = None,
        drop: Sequence[str] = (),
    ) -> TaskData:
        """One row per (task, observation): a task column, a target column, the rest are features.

        Parameters
        ----------
        frame : DataFrame
        task, target : str
            Columns that hold the task of a row and its target.
        kind : str, optional
            Kind of all tasks; inferred from the whole target column if None.
        groups, time, sample_weight : str, optional
            Columns with these meanings; they are taken out of the features.
        drop : sequence of str
            Further columns that are not features.
        """
        frame = frames.check_table(frame, "the table")
        if not frames.is_frame(frame):
            raise DataError(
                "from_long needs a data frame (pandas or polars) with a task column and a target column."
            )
        names = _task_names_of(frames.column(frame, task))
        y = frames.column(frame, target)
        present = ~frames.is_missing(y)
        special = _special_columns(frame, groups=groups, time=time, sample_weight=sample_weight)
        X = _without(frame, [task, target, groups, time, sample_weight, *drop])
        X = frames.check_table(X, "the table without its task and target columns")
        checks.check_features(X)
        base = _common_task(kind, str(target), y)
        order = list(dict.fromkeys(names[present].tolist()))
        declared = _declared(tasks, order)
        rows, targets, resolved = {}, {}, []
        for name in order:
            index = np.flatnonzero(present & (names == name))
            found, _, values = encode(declared.get(name, base.with_(name=name)), y[index])
            rows[name], targets[name] = index, values
            resolved.append(found)
        _warn_unlearnable(resolved, targets)
        weight = _row_vector(special["sample_weight"], len(y), "sample_weight")
        weights = {name: weight[index] for name, index in rows.items()}
        return cls(
            X,
            resolved,
            rows,
            targets,
            weights,
            groups=_row_labels(special["groups"], len(y), "groups"),
            time=_row_labels(special["time"], len(y), "time"),
            form="long",
            task_column=str(task),
            target_column=str(target),
        )

    @classmethod
    def from_dict(
        cls,
        tables: Mapping[str, tuple[Any, Any]],
        tasks: Sequence[Task] | None = None,
        *,
        task_column: str = "task",
    ) -> TaskData:
        """A table and a target per task: ``{name: (X_t, y_t)}``; all tables have the same columns.

        Rows are stacked; `task_column` names the column that tables given to `predict` must carry.
        """
        if not tables:
            raise DataError("from_dict got no tables.")
        checked = {
            str(name): frames.check_table(pair[0], f"X of task '{name}'") for name, pair in tables.items()
        }
        X = checks.stack_tables(checked)
        checks.check_features(X)
        declared = _declared(tasks, list(checked))
        rows, targets, weights, resolved, start = {}, {}, {}, [], 0
        for name, (_, y) in tables.items():
            name, values = str(name), _as_values(y)
            n = frames.n_rows(checked[name])
            if len(values) != n:
                raise DataError(f"Task '{name}': X has {n} rows but y has {len(values)}.")
            task, labelled, encoded = encode(declared.get(name, Task(name)), values)
            _refuse_unlearnable(task, encoded)
            resolved.append(task)
            rows[name], targets[name] = start + labelled, encoded
            weights[name] = np.ones(len(labelled))
            start += n
        return cls(X, resolved, rows, targets, weights, form="dict", task_column=task_column)

    @classmethod
    def _encoded(
        cls,
        X: Any,
        columns: dict[str, np.ndarray],
        declared: dict[str, Task],
        weight: np.ndarray,
        groups: Any,
        time: Any,
        form: str,
    ) -> TaskData:
        n = frames.n_rows(X)
        rows, targets, weights, resolved = {}, {}, {}, []
        for name, values in columns.items():
            if len(values) != n:
                raise DataError(f"X has {n} rows but target '{name}' has {len(values)}.")
            task, labelled, encoded = encode(declared[name], values)
            _refuse_unlearnable(task, encoded)
            resolved.append(task)
            rows[task.name], targets[task.name], weights[task.name] = labelled, encoded, weight[labelled]
        groups, time = _row_labels(groups, n, "groups"), _row_labels(time, n, "time")
        return cls(X, resolved, rows, targets, weights, groups=groups, time=time, form=form)

    # ------------------------------------------------------------------ what is in it

    @property
    def n_rows(self) -> int:
        return frames.n_rows(self.X)

    @property
    def feature_names(self) -> list[str]:
        return frames.feature_names(self.X)

    @property
    def task_names(self) -> list[str]:
        return [t.name for t in self.tasks]

    @property
    def own_rows(self) -> bool:
        """True when every row belongs to at most one task (long and dict forms)."""
        return self.form != "wide"

    def task(self, name: str) -> Task:
        for task in self.tasks:
            if task.name == name:
                return task
        raise DataError(f"No task '{name}'.{frames.suggest(name, self.task_names)}")

    def row_tasks(self) -> np.ndarray:
        """Own-row forms: the index of each row's task, -1 for a row without a label; shape (n_rows,)."""
        out = np.full(self.n_rows, -1, dtype=np.int64)
        for k, name in enumerate(self.task_names):
            out[self.rows[name]] = k
        return out

    def wide_targets(self) -> np.ndarray:
        """Targets as one table (n_rows, tasks), NaN where a row has no label; scalar targets only."""
        out = np.full((self.n_rows, len(self.tasks)), np.nan)
        for k, task in enumerate(self.tasks):
            y = self.targets[task.name]
            if y.ndim != 1:
                raise DataError(
                    f"Task '{task.name}' ({task.kind}) has {y.shape[1]} columns; it has no place in a wide "
                    "table."
                )
            out[self.rows[task.name], k] = y
        return out

    def __repr__(self) -> str:
        labels = sum(len(r) for r in self.rows.values())
        size = f"{self.n_rows} rows, {self.X.shape[1]} features, {labels} labels"
        return f"TaskData({len(self.tasks)} tasks, {size}, {self.form})"

    # ------------------------------------------------------------------ derived

    def subset(self, index: np.ndarray) -> TaskData:
        """The rows in `index` (unique), renumbered in that order."""
        index = np.asarray(index, dtype=np.int64)
        position = np.full(self.n_rows, -1, dtype=np.int64)
        position[index] = np.arange(len(index))
        rows, targets, weights = {}, {}, {}
        for name in self.task_names:
            moved = position[self.rows[name]]
            kept = np.flatnonzero(moved >= 0)
            kept = kept[np.argsort(moved[kept], kind="stable")]
            rows[name], targets[name] = moved[kept], self.targets[name][kept]
            weights[name] = self.weights[name][kept]
        return self._like(frames.take_rows(self.X, index), self.tasks, rows, targets, weights, index)

    def with_X(self, X: Any) -> TaskData:
        """The same tasks and rows over another table, e.g. the preprocessed one."""
        if frames.n_rows(X) != self.n_rows:
            raise DataError(f"The new table has {frames.n_rows(X)} rows, the data has {self.n_rows}.")
        return self._like(X, self.tasks, self.rows, self.targets, self.weights)

    def with_targets(self, tasks: Sequence[Task], targets: dict[str, np.ndarray]) -> TaskData:
        """The same rows and weights with other targets, e.g. scaled ones."""
        return self._like(self.X, tasks, self.rows, targets, self.weights)

    def select(self, names: Sequence[str]) -> TaskData:
        """Only these tasks (all rows stay)."""
        tasks = [self.task(name) for name in names]
        rows, targets, weights = ({n: d[n] for n in names} for d in (self.rows, self.targets, self.weights))
        return self._like(self.X, tasks, rows, targets, weights)

    def _like(
        self,
        X: Any,
        tasks: Sequence[Task],
        rows: dict,
        targets: dict,
        weights: dict,
        index: np.ndarray | None = None,
    ) -> TaskData:
        groups = self.groups if index is None or self.groups is None else self.groups[index]
        time = self.time if index is None or self.time is None else self.time[index]
        return TaskData(
            X,
            tasks,
            rows,
            targets,
            weights,
            groups=groups,
            time=time,
            form=self.form,
            task_column=self.task_column,
            target_column=self.target_column,
        )


# ---------------------------------------------------------------------- helpers of the constructors


def _target_columns(Y: Any, tasks: Sequence[Task] | None) -> dict[str, np.ndarray]:
    """Target columns by name, from whatever the caller has."""
    if isinstance(Y, Mapping):
        return {str(name): _as_values(values) for name, values in Y.items()}
    if frames.is_frame(Y):
        Y = frames.check_table(Y, "Y")
        return {name: frames.column(Y, name) for name in frames.column_names(Y) or ()}
    if frames.is_series(Y):
        name = getattr(Y, "name", None)
        if name is None or name == "":
            name = tasks[0].name if tasks else "y0"
        return {str(name): frames.series_values(Y)}
    table = np.asarray(Y)
    if table.ndim not in (1, 2):
        raise DataError(f"Y must have one or two dimensions, got shape {table.shape}.")
    table = table.reshape(len(table), -1)
    if tasks is not None and len(tasks) != table.shape[1]:
        raise DataError(f"Y has {table.shape[1]} columns but {len(tasks)} tasks were given.")
    names = [t.name for t in tasks] if tasks is not None else [f"y{k}" for k in range(table.shape[1])]
    return {name: table[:, k] for k, name in enumerate(names)}


def _special_columns(frame: Any, **columns: str | None) -> dict[str, np.ndarray | None]:
    return {what: None if name is None else frames.column(frame, name) for what, name in columns.items()}


def _without(frame: Any, names: Sequence[str | None]) -> Any:
    """The frame without these columns; raises when one is not there."""
    gone = list(dict.fromkeys(str(name) for name in names if name is not None))
    for name in gone:
        frames.column(frame, name)
    return frames.drop_columns(frame, gone)


def _declared(tasks: Sequence[Task] | None, names: list[str]) -> dict[str, Task]:
    """The caller's tasks by name; raises when one has no data, lest a misspelt one is overlooked."""
    declared = {t.name: t for t in check_unique(tasks or ())}
    for name in declared:
        if name not in names:
            raise DataError(f"Task '{name}' has no targets in the data.{frames.suggest(name, names)}")
    return declared


def _match_tasks(tasks: Sequence[Task] | None, names: list[str]) -> dict[str, Task]:
    declared = _declared(tasks, names)
    return {name: declared.get(name, Task(name)) for name in names}


def _as_values(y: Any) -> np.ndarray:
    if frames.is_series(y):
        return frames.series_values(y)
    if frames.is_frame(y):
        return np.column_stack([frames.column(y, c) for c in frames.column_names(y) or ()])
    return np.asarray(y)


def _row_labels(values: Any, n: int, what: str) -> np.ndarray | None:
    """Groups or times: one value a row, none of them missing."""
    if values is None:
        return None
    values = _as_values(values)
    if values.shape != (n,):
        raise DataError(f"{what} must have one value for each of the {n} rows, got shape {values.shape}.")
    missing = int(frames.is_missing(values).sum())
    if missing:
        raise DataError(f"{what} is missing in {missing} of {n} rows; fill it in or drop these rows.")
    return values


def _row_vector(values: Any, n: int, what: str) -> np.ndarray:
    """Weights: one finite number of zero or more a row; ones where there are none."""
    labels = _row_labels(values, n, what)
    if labels is None:
        return np.ones(n)
    numbers, bad = parse_numbers(labels)
    if bad.any():
        raise DataError(f"{what} holds text in {int(bad.sum())} of {n} rows; weights must be numbers.")
    check_finite(numbers, what)
    if (numbers < 0).any():
        raise DataError(
            f"{what} has {int((numbers < 0).sum())} negative values; weights must be zero or more."
        )
    return numbers


def _task_names_of(values: np.ndarray) -> np.ndarray:
    """The task column as text; whole numbers lose their '.0'."""
    missing = int(frames.is_missing(values).sum())
    if missing:
        raise DataError(
            f"The task column is empty in {missing} of {len(values)} rows; every row needs its task."
        )
    return task_labels(values)


def task_labels(values: np.ndarray) -> np.ndarray:
    """Entries of a task column as task names: text, whole numbers without '.0'."""
    return np.array(
        [
            str(int(v)) if isinstance(v, (float, np.floating)) and float(v).is_integer() else str(v)
            for v in values
        ],
        dtype=object,
    )


def _common_task(kind: str | None, target: str, y: np.ndarray) -> Task:
    """The task whose kind and classes all tasks of a long table share; raises if nothing can be learned."""
    found, _, values = encode(Task(target, kind), y)
    _refuse_unlearnable(found, values)
    return found


def _refuse_unlearnable(task: Task, y: np.ndarray) -> None:
    reason = check_varies(task, y)
    if reason:
        raise DataError(f"{reason} There is nothing to learn: drop this target.")


def _warn_unlearnable(tasks: Sequence[Task], targets: dict[str, np.ndarray]) -> None:
    """A long table may hold tasks with nothing to learn; they are named, kept and predicted."""
    constant = [t.name for t in tasks if check_varies(t, targets[t.name])]
    if constant:
        shown = ", ".join(constant[:5]) + (", …" if len(constant) > 5 else "")
        warnings.warn(
            f"{len(constant)} of {len(tasks)} tasks have a constant target or a single row and are left out "
            f"of comparisons, but still predicted: {shown}.",
            PolytaskWarning,
            stacklevel=3,
        )
