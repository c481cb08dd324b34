"""Running the units of a plan, here or on joblib's workers, until all are done or time is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import joblib
from joblib.parallel import get_active_backend

from polytask.candidates.base import Candidate
from polytask.experiment.store import Store
from polytask.experiment.units import Plan, Unit, run_unit

Job = tuple[int, int, Candidate]


def execute(
    plan: Plan,
    store: Store | None = None,
    *,
    n_jobs: int | None = None,
    deadline: float | None = None,
    report: Callable[[Unit, int, int], None] | None = None,
) -> list[Unit]:
    """Run all units, fold by fold; units found in the store are not run again.

    Parameters
    ----------
    plan : Plan
    store : Store, optional
        Gets every unit when it is finished, so that Ctrl-C loses only what was under way.
    n_jobs : int, optional
        As in joblib; None follows `joblib.parallel_config` (a Dask or Ray cluster, say).
    deadline : float, optional
        Of `time.monotonic`; past it no further unit is begun. The first fold is always finished.
    report : callable, optional
        Called with each finished unit, the number of finished ones and of all.

    Returns
    -------
    list of Unit
        In the order of the plan; incomplete if time ran out.
    """
    units = store.read(plan) if store else []
    have = {(u.repeat, u.fold, u.candidate) for u in units}
    jobs = [(r, f, c) for r, f, c in plan_jobs(plan) if (r, f, c.name) not in have]
    total = len(jobs) + len(units)
    for unit in _run(plan, _until(jobs, deadline), n_jobs):
        if store:
            store.write(unit)
        units.append(unit)
        if report:
            report(unit, len(units), total)
    order = {c.name: k for k, c in enumerate(plan.candidates)}
    return sorted(units, key=lambda u: (u.repeat, u.fold, order[u.candidate]))


def plan_jobs(plan: Plan) -> Iterator[Job]:
    """All units, fold by fold, so that a run cut short has whole folds."""
    for r, folds in enumerate(plan.folds):
        for f in range(len(folds)):
            for candidate in plan.candidates:
                yield r, f, candidate


def complete_folds(plan: Plan, units: Iterable[Unit]) -> set[tuple[int, int]]:
    """Folds on which every candidate is finished."""
    have = {(u.repeat, u.fold, u.candidate) for u in units}
    folds = {(r, f) for r, f, _ in plan_jobs(plan)}
    return {(r, f) for r, f in folds if all((r, f, c.name) in have for c in plan.candidates)}


def _run(plan: Plan, jobs: Iterable[Job], n_jobs: int | None) -> Iterator[Unit]:
    if joblib.effective_n_jobs(n_jobs) == 1:
        yield from (run_unit(plan, *job) for job in jobs)
        return
    settings: dict[str, Any] = {"n_jobs": n_jobs, "batch_size": 1, "pre_dispatch": "n_jobs"}
    if getattr(get_active_backend()[0], "supports_return_generator", False):
        settings["return_as"] = "generator_unordered"
    yield from joblib.Parallel(**settings)(joblib.delayed(run_unit)(plan, *job) for job in jobs)


def _until(jobs: Iterable[Job], deadline: float | None) -> Iterator[Job]:
    """Jobs while there is time; those of the first fold in any case, or there would be no answer at all."""
    for r, f, candidate in jobs:
        if deadline is not None and (r, f) != (0, 0) and time.monotonic() > deadline:
            return
        yield r, f, candidate
