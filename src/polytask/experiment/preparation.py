"""What is settled before a comparison begins: settings, outer folds, tasks and candidates."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from polytask.candidates import Candidate, named_candidates
from polytask.data import TaskData
from polytask.errors import DataError, PolytaskWarning, SettingError
from polytask.evaluation.folds import Fold, make_folds, most_folds
from polytask.tasks import Task

SIDES = ("single", "sharing")


def check_settings(
    data: TaskData,
    folds: int,
    repeats: int,
    inner: int,
    settings: int,
    level: float,
    seed: int,
    budget: float | None,
) -> None:
    """Refuse settings of `compare` that cannot work, naming the setting."""
    if not isinstance(data, TaskData):
        raise SettingError(
            "compare needs a TaskData: TaskData.from_frame(frame, targets=[...]), from_wide, from_long or "
            "from_dict."
        )
    if len(data.tasks) < 2:
        raise DataError(
            f"There is {len(data.tasks)} task; a comparison needs at least two tasks that could share."
        )
    wanted = (
        ("folds", folds, 2),
        ("repeats", repeats, 1),
        ("inner_folds", inner, 1),
        ("settings", settings, 1),
        ("seed", seed, 0),
    )
    for name, value, least in wanted:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
            raise SettingError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    if not (isinstance(level, numbers.Real) and 0.5 < level < 1):
        raise SettingError(f"level must lie between 0.5 and 1, got {level!r}.")
    if budget is not None and not (isinstance(budget, numbers.Real) and budget > 0):
        raise SettingError(f"budget must be a positive number of seconds, got {budget!r}.")


def outer_folds(
    data: TaskData, n: int, repeats: int, seed: int
) -> tuple[TaskData, tuple[tuple[Fold, ...], ...], dict[str, str]]:
    """The tasks that can be compared, the folds of every repeat, and why the other tasks are left out.

    Raises
    ------
    DataError
        When fewer than two tasks can be compared, or a training set cannot be split again for tuning.
    """
    outer = tuple(tuple(make_folds(data, n, seed + r)) for r in range(repeats))
    _refuse_untunable(data, outer)
    left_out = {}
    for task in data.tasks:
        reason = _why_not(data, task, n, outer)
        if reason:
            left_out[task.name] = reason
    kept = [t for t in data.task_names if t not in left_out]
    if len(kept) < 2:
        first = next(iter(left_out.items()))
        raise DataError(f"Only {len(kept)} tasks can be compared; for example task '{first[0]}': {first[1]}.")
    if left_out:
        shown = "; ".join(f"'{t}': {why}" for t, why in list(left_out.items())[:3])
        warnings.warn(
            f"{len(left_out)} of {len(data.tasks)} tasks are left out of the comparison (they are still "
            f"predicted): {shown}.",
            PolytaskWarning,
            stacklevel=3,
        )
    return data.select(kept), outer, left_out


def both_sides(models: Sequence[Any] | None, data: TaskData) -> list[Candidate]:
    """The candidates that suit the data; raises unless every task has a single-task and a sharing one.

    Candidates of the default catalogue that do not suit are left out silently, named ones with a warning.
    """
    named = named_candidates(models)
    candidates = suitable(named, data)
    unused = [c.name for c in named if c not in candidates]
    if models is not None and unused:
        warnings.warn(
            "Candidates that cannot learn these tasks or this form of data are left out: "
            f"{', '.join(unused)}.",
            PolytaskWarning,
            stacklevel=3,
        )
    for side in SIDES:
        for task in data.tasks:
            if not any(c.role == side and c.supports(task) for c in candidates):
                raise SettingError(
                    f"No {side} candidate can learn task '{task.name}' ({task.kind}). "
                    f"Candidates that suit the data: {', '.join(c.name for c in candidates) or 'none'}."
                )
    return candidates


def suitable(candidates: Sequence[Candidate], data: TaskData) -> list[Candidate]:
    """The candidates that support at least one task and suit the data."""
    out = []
    for candidate in candidates:
        names = [t.name for t in data.tasks if candidate.supports(t)]
        if names and candidate.applies(data.select(names)):
            out.append(candidate)
    return out


def _refuse_untunable(data: TaskData, outer: Sequence[Sequence[Fold]]) -> None:
    """Inner validation needs two groups or times in every training set, or it would test on known ones."""
    if data.groups is None and data.time is None:
        return
    what, least = ("groups", 2) if data.time is None else ("different times", 1)
    for train, _ in (fold for repeat in outer for fold in repeat):
        if most_folds(data.subset(train)) < least:
            raise DataError(
                f"A training set of {len(train)} rows has too few {what} to be split again for tuning; use "
                f"other folds or data with more {what}."
            )


def _why_not(data: TaskData, task: Task, n: int, outer: Sequence[Sequence[Fold]]) -> str | None:
    rows, y = data.rows[task.name], data.targets[task.name]
    if len(rows) < n:
        return f"{len(rows)} rows are fewer than {n} folds"
    tested = 0
    for train, test in (fold for repeat in outer for fold in repeat):
        tested += int(np.isin(rows, test, assume_unique=True).sum())
        known = y[np.isin(rows, train, assume_unique=True)]
        if len(known) < 2:
            return "a training fold has fewer than two of its rows"
        if task.kind != "multilabel" and (known == known[0]).all():
            return "its target is constant in a training fold"
    return "fewer than two of its rows are ever tested" if tested < 2 * len(outer) else None
