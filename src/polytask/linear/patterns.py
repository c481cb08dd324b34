"""Which rows each task is labelled on: tasks with the same rows and weights form one pattern.

Squared loss needs XᵀX only over the rows where a task has a label, so every task of a pattern shares it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from polytask.data import TaskData


@dataclass(frozen=True)
class LabelPattern:
    """Labels of the k tasks that share their m labelled rows and the weights of these rows.

    Attributes
    ----------
    rows : (m,) int array
        Sorted indices into X.
    weights : (m,) float array
        Positive weights of the rows.
    tasks : (k,) int array
        Positions of the tasks in the problem.
    targets : (m, k) float array
        Labels, none of them missing.
    """

    rows: np.ndarray
    weights: np.ndarray
    tasks: np.ndarray
    targets: np.ndarray

    def restricted(self, keep: np.ndarray) -> LabelPattern:
        """The part of the labels on rows with ``keep[row]`` true; keep has one entry per row of X."""
        chosen = keep[self.rows]
        return LabelPattern(self.rows[chosen], self.weights[chosen], self.tasks, self.targets[chosen])


def patterns_from_arrays(Y: np.ndarray, sample_weight: np.ndarray | None = None) -> list[LabelPattern]:
    """Group the columns of Y by which rows are labelled.

    Parameters
    ----------
    Y : (n, q) float array
        NaN = missing label.
    sample_weight : (n,) array or None
        Non-negative; rows of weight zero count as missing.
    """
    weight = np.ones(len(Y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    labelled = ~np.isnan(Y) & (weight > 0)[:, None]
    if labelled.all() and labelled.size:
        return [LabelPattern(np.arange(len(Y)), weight, np.arange(Y.shape[1]), Y)]
    groups: dict[bytes, list[int]] = {}
    for task, key in enumerate(np.packbits(labelled, axis=0).T):
        groups.setdefault(key.tobytes(), []).append(task)
    patterns = []
    for members in groups.values():
        tasks = np.array(members)
        rows = np.flatnonzero(labelled[:, tasks[0]])
        patterns.append(LabelPattern(rows, weight[rows], tasks, Y[np.ix_(rows, tasks)]))
    return patterns


def patterns_from_task_data(data: TaskData) -> list[LabelPattern]:
    """Group the tasks of a `TaskData` by their rows and weights."""
    groups: dict[tuple[bytes, bytes], list[int]] = {}
    for position, name in enumerate(data.task_names):
        key = (np.asarray(data.rows[name]).tobytes(), np.asarray(data.weights[name]).tobytes())
        groups.setdefault(key, []).append(position)
    patterns = []
    for tasks in groups.values():
        names = [data.task_names[task] for task in tasks]
        weight = np.asarray(data.weights[names[0]], dtype=float)
        used = weight > 0
        targets = np.column_stack([np.asarray(data.targets[name], dtype=float) for name in names])
        rows = np.asarray(data.rows[names[0]], dtype=np.int64)
        patterns.append(LabelPattern(rows[used], weight[used], np.array(tasks), targets[used]))
    return patterns
