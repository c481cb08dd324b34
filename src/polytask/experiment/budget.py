"""Shrinking a plan until it should end within a wall-clock budget."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import joblib

from polytask.candidates.base import Candidate
from polytask.experiment.units import Plan, run_unit

#: Part of the remaining time that is planned for; the rest absorbs what the pilot could not see.
PLANNED = 0.7

#: A pilot faster than this is run again, since the first run may have been loading or compiling.
QUICK = 3.0


def fit_to_budget(plan: Plan, seconds: float, n_jobs: int | None) -> tuple[Plan, list[str]]:
    """Fewer repeats, then fewer settings and inner folds, then fewer candidates.

    Every candidate is timed on the first fold with its first setting. At least one repeat, a single-task and
    a sharing candidate for every task are kept, whatever they cost.

    Parameters
    ----------
    plan : Plan
    seconds : float
    n_jobs : int or None
        As in joblib.

    Returns
    -------
    plan : Plan
    notes : list of str
        What was cut, in words.
    """
    start = time.monotonic()
    pilot = replace(plan, settings=1, inner_folds=1)
    timed = joblib.Parallel(n_jobs=n_jobs, batch_size=1)(
        joblib.delayed(_seconds)(pilot, c) for c in plan.candidates
    )
    cost = {c.name: s for c, s in zip(plan.candidates, timed)}
    left = max(seconds - (time.monotonic() - start), 0.0)
    return shrink(plan, cost, PLANNED * left * joblib.effective_n_jobs(n_jobs))


def shrink(plan: Plan, cost: Mapping[str, float], seconds: float) -> tuple[Plan, list[str]]:
    """The largest plan whose estimated work (seconds of one core) fits; `cost` is of one fit by candidate."""
    one, notes = replace(plan, folds=plan.folds[:1]), []
    for settings, inner in ((plan.settings, plan.inner_folds), (2, 3), (2, 1), (1, 1)):
        one = replace(one, settings=min(settings, plan.settings), inner_folds=min(inner, plan.inner_folds))
        if work(one, cost) <= seconds:
            break
    while work(one, cost) > seconds and (slow := _dispensable(one, cost)) is not None:
        one = replace(one, candidates=tuple(c for c in one.candidates if c is not slow))
        notes.append(f"'{slow.name}' was left out for lack of time")
    repeats = max(1, min(len(plan.folds), int(seconds / max(work(one, cost), 1e-9))))
    for got, asked, what in (
        (one.settings, plan.settings, "settings per family"),
        (one.inner_folds, plan.inner_folds, "inner folds"),
        (repeats, len(plan.folds), "repeats"),
    ):
        if got < asked:
            notes.append(f"{got} instead of {asked} {what} to keep the budget")
    return replace(one, folds=plan.folds[:repeats]), notes


def work(plan: Plan, cost: Mapping[str, float]) -> float:
    """Estimated seconds of one core for all units of the plan."""
    fits = sum(cost[c.name] * (1 + plan.inner_folds * _n_settings(c, plan)) for c in plan.candidates)
    return fits * sum(len(folds) for folds in plan.folds)


def _seconds(pilot: Plan, candidate: Candidate) -> float:
    """Seconds of one fit; a pilot unit fits twice, on the inner and on the outer training rows."""
    unit = run_unit(pilot, 0, 0, candidate)
    if unit.seconds < QUICK:
        unit = run_unit(pilot, 0, 0, candidate)
    return unit.seconds / 2


def _n_settings(candidate: Candidate, plan: Plan) -> int:
    return max(1, len(candidate.settings(plan.data, plan.settings)))


def _dispensable(plan: Plan, cost: Mapping[str, float]) -> Candidate | None:
    """The slowest candidate without which every task still has one of its role."""
    for candidate in sorted(plan.candidates, key=lambda c: -cost[c.name]):
        others = [c for c in plan.candidates if c is not candidate and c.role == candidate.role]
        if set(plan.tasks_of(candidate)) <= {t for c in others for t in plan.tasks_of(c)}:
            return candidate
    return None
