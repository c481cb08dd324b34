"""Validation rows for early stopping, taken out of the training data."""

from __future__ import annotations

import numpy as np

from polytask.data import TaskData

#: With fewer rows than this a validation part would say too little; the network trains for all its epochs.
FEWEST_ROWS = 20


def split_validation(
    data: TaskData, fraction: float, rng: np.random.Generator
) -> tuple[TaskData, TaskData | None]:
    """Training and validation parts.

    Groups stay whole, the latest rows validate where there is a time, and tasks with rows of their own give
    each the same share. None for the second part where there are too few rows.
    """
    labelled = np.unique(np.concatenate(list(data.rows.values())))
    if fraction <= 0 or len(labelled) < FEWEST_ROWS:
        return data, None
    held_out = _held_out(data, labelled, fraction, rng)
    kept = np.setdiff1d(labelled, held_out)
    train = data.subset(kept)
    if len(held_out) == 0 or any(len(train.rows[t]) == 0 < len(data.rows[t]) for t in data.task_names):
        return data, None
    return train, data.subset(held_out)


def _held_out(data: TaskData, labelled: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    if data.groups is not None:
        groups = np.unique(data.groups[labelled])
        chosen = rng.permutation(groups)[: round(fraction * len(groups))]
        return labelled[np.isin(data.groups[labelled], chosen)]
    if data.time is not None:
        order = labelled[np.argsort(data.time[labelled], kind="stable")]
        return np.sort(order[len(order) - round(fraction * len(order)) :])
    if not data.own_rows:
        return np.sort(rng.permutation(labelled)[: round(fraction * len(labelled))])
    parts = []
    for rows in data.rows.values():
        # Rounding up or down at random keeps the share right over many small tasks.
        n = min(int(fraction * len(rows) + rng.uniform()), len(rows) - 1)
        parts.append(rng.permutation(rows)[: max(n, 0)])
    return np.sort(np.concatenate(parts))
