"""Choosing a candidate per task from inner validation losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from polytask.tasks import Task

#: Inner losses: candidate → task → loss of every training row (NaN = not validated).
Losses = Mapping[str, Mapping[str, np.ndarray]]


def choose(losses: Losses, null: Mapping[str, float], tasks: Sequence[Task]) -> dict[str, str]:
    """The candidate of each task: one for all tasks of a kind, unless a task clearly does better with another.

    With many small tasks a choice per task would follow noise, and one choice for all would miss real
    differences. So the candidate with the lowest mean loss relative to the constant model is taken, and a
    task departs from it when its own best candidate is better by more than one standard error of the paired
    differences of its rows.

    Parameters
    ----------
    losses : mapping
        Candidates that do not support a task have no entry for it.
    null : mapping of str to float
        Mean loss of the constant model per task, the unit in which tasks are averaged.
    tasks : sequence of Task

    Returns
    -------
    dict of task name to candidate name
    """
    chosen: dict[str, str] = {}
    for kind in dict.fromkeys(t.kind for t in tasks):
        names = [t.name for t in tasks if t.kind == kind]
        able = [c for c in losses if all(t in losses[c] for t in names)]
        table = np.array([[_mean(losses[c][t]) for t in names] for c in able])
        units = np.array([max(null[t], 1e-300) for t in names])
        joint = able[int(np.argmin((table / units).mean(axis=1)))]
        for k, t in enumerate(names):
            own = able[int(np.argmin(table[:, k]))]
            chosen[t] = own if clearly_better(losses[own][t], losses[joint][t]) else joint
    return chosen


def clearly_better(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the mean of `a` is below that of `b` by more than a standard error of their paired difference."""
    difference = b - a
    difference = difference[~np.isnan(difference)]
    if len(difference) < 2:
        return False
    return bool(difference.mean() > difference.std(ddof=1) / np.sqrt(len(difference)))


def _mean(losses: np.ndarray) -> float:
    known = losses[~np.isnan(losses)]
    return float(known.mean()) if len(known) else float("inf")
