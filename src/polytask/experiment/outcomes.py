"""From finished units to out-of-fold losses, the sides chosen in each fold, and rows that depend on each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polytask.candidates.base import labelled_in, null_losses
from polytask.data import TaskData
from polytask.evaluation.losses import row_losses
from polytask.evaluation.selection import choose
from polytask.experiment.preparation import SIDES
from polytask.experiment.units import Plan, Unit


def out_of_fold_losses(plan: Plan, units: Sequence[Unit]) -> dict[str, np.ndarray]:
    """Candidate → losses of shape (repeats, n_rows, T); NaN where there is no label or no prediction."""
    data = plan.data
    out = {c.name: np.full((len(plan.folds), data.n_rows, len(data.tasks)), np.nan) for c in plan.candidates}
    for unit in units:
        train, test = plan.folds[unit.repeat][unit.fold]
        where, _ = labelled_in(data, test)
        for k, task in enumerate(data.tasks):
            t = task.name
            if t not in unit.predictions:
                continue
            known = data.targets[t][np.isin(data.rows[t], train, assume_unique=True)]
            scale = float(np.std(known)) if task.kind == "regression" else 1.0
            losses = row_losses(
                task, data.targets[t][where[t]], unit.predictions[t], len(known), scale or 1.0
            )
            weight = data.weights[t][where[t]] / data.weights[t].mean()
            out[unit.candidate][unit.repeat, data.rows[t][where[t]], k] = losses * weight
    return out


def null_table(plan: Plan, finished: Sequence[tuple[int, int]]) -> np.ndarray:
    """Out-of-fold losses of the constant model, shape (repeats, n_rows, T)."""
    data = plan.data
    out = np.full((len(plan.folds), data.n_rows, len(data.tasks)), np.nan)
    for r in range(len(plan.folds)):
        folds = [plan.folds[r][f] for rr, f in finished if rr == r]
        for k, (t, losses) in enumerate(null_losses(data, folds).items()):
            out[r, data.rows[t], k] = losses * data.weights[t] / data.weights[t].mean()
    return out


def choose_sides(plan: Plan, units: Sequence[Unit]) -> dict[str, dict[str, str]]:
    """Within one outer fold: the candidate of each side and task, by inner validation."""
    roles = {c.name: c.role for c in plan.candidates}
    null: dict[str, float] = {}
    for unit in units:
        null.update(unit.inner_null)
    return {
        side: choose(
            {u.candidate: u.inner for u in units if roles[u.candidate] == side}, null, plan.data.tasks
        )
        for side in SIDES
    }


def average_repeats(losses: np.ndarray) -> np.ndarray:
    """Mean over repeats, ignoring what is missing."""
    known = ~np.isnan(losses)
    count = known.sum(axis=0)
    total = np.where(known, losses, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def dependent_rows(data: TaskData) -> np.ndarray | None:
    """Rows that depend on each other: a group, or a stretch of n^(1/3) consecutive times."""
    if data.groups is not None:
        return np.unique(data.groups.astype(str), return_inverse=True)[1]
    if data.time is not None:
        stamp = np.unique(data.time, return_inverse=True)[1]
        return stamp // max(1, round(float(stamp.max() + 1) ** (1 / 3)))
    return None
