"""The score of a model with several tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polytask.data.targets import encode
from polytask.evaluation.metrics import LOWER_IS_BETTER, score
from polytask.tasks import Task


def mean_score(
    tasks: Sequence[Task],
    columns: Mapping[str, np.ndarray],
    predictions: Mapping[str, np.ndarray],
    rows: Mapping[str, np.ndarray] | None,
    sample_weight: Any,
) -> float:
    """Mean over tasks of the first metric of each; more is better.

    Parameters
    ----------
    tasks : sequence of Task
    columns, predictions : mapping of str to ndarray
        Raw targets with missing entries, and predictions, row by row.
    rows : mapping of str to ndarray of int or None
        Where these rows are in the table; None: all of it.
    sample_weight : array of shape (n,) or None
        Over the table.
    """
    values = []
    for task in tasks:
        if task.name not in columns:
            continue
        _, known, y = encode(task, columns[task.name])
        if not len(known):
            continue
        where = known if rows is None else rows[task.name][known]
        weight = None if sample_weight is None else np.asarray(sample_weight)[where]
        metric = task.metrics[0]
        value = score(task, metric, y, predictions[task.name][known], weight)
        values.append(-value if metric in LOWER_IS_BETTER else value)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
