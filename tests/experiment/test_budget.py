"""Shrinking on made-up costs, and the wall clock on a real call."""

import time

import numpy as np
import pytest

import polytask
from fakes import Fake, fakes, wide
from polytask.evaluation.folds import make_folds
from polytask.experiment.budget import PLANNED, fit_to_budget, shrink, work
from polytask.experiment.units import Plan, Unit


class Tunable(Fake):
    def settings(self, data, n):
        return [{}] * min(n, 4)


def plan(names=("a", "b", "c", "d"), repeats=3):
    data = wide(30)
    roles = ["single", "single", "sharing", "sharing"]
    candidates = tuple(Tunable(n, r) for n, r in zip(names, roles))
    folds = tuple(tuple(make_folds(data, 5, r)) for r in range(repeats))
    return Plan(data, candidates, folds, None, 0, 3, 4)


COST = {"a": 1.0, "b": 10.0, "c": 2.0, "d": 30.0}


def test_work_counts_every_fit():
    """(1 + inner × settings) fits per candidate and fold."""
    assert work(plan(), COST) == 43.0 * (1 + 3 * 4) * 5 * 3


def test_enough_time_changes_nothing():
    whole, notes = shrink(plan(), COST, 1e9)
    assert notes == []
    assert len(whole.folds) == 3
    assert (whole.settings, whole.inner_folds, len(whole.candidates)) == (4, 3, 4)


@pytest.mark.parametrize("seconds", [3.0, 30.0, 300.0, 1000.0, 3000.0, 6000.0])
def test_what_is_planned_fits_or_is_the_least_there_can_be(seconds):
    shrunk, notes = shrink(plan(), COST, seconds)
    least = [c.name for c in shrunk.candidates] == ["a", "c"] and len(shrunk.folds) == 1
    least = least and (shrunk.settings, shrunk.inner_folds) == (1, 1)
    assert work(shrunk, COST) <= seconds or least
    assert notes


def test_repeats_go_first_then_settings_then_the_slowest_candidates():
    one_repeat = work(plan(repeats=1), COST)
    shrunk, notes = shrink(plan(), COST, 2.5 * one_repeat)
    assert (len(shrunk.folds), shrunk.settings, shrunk.inner_folds) == (2, 4, 3)
    assert notes == ["2 instead of 3 repeats to keep the budget"]
    shrunk, notes = shrink(plan(), COST, 0.6 * one_repeat)
    assert (len(shrunk.folds), shrunk.settings, shrunk.inner_folds, len(shrunk.candidates)) == (1, 2, 3, 4)
    assert notes[0] == "2 instead of 4 settings per family to keep the budget"
    shrunk, notes = shrink(plan(), COST, 13.0 * 2 * 5)
    assert [c.name for c in shrunk.candidates] == ["a", "b", "c"]
    assert notes[0] == "'d' was left out for lack of time"


def test_the_only_candidate_of_a_side_for_a_task_stays_however_slow():
    data = wide(30)
    slow, quick = Tunable("slow", "sharing"), Tunable("quick", "single")
    folds = (tuple(make_folds(data, 5, 0)),)
    shrunk, _ = shrink(Plan(data, (quick, slow), folds, None, 0, 3, 4), {"slow": 1e6, "quick": 1.0}, 1.0)
    assert {c.name for c in shrunk.candidates} == {"slow", "quick"}


def test_the_pilot_sees_what_a_fit_costs(monkeypatch):
    """A unit of the pilot is two fits; quick ones are run twice, since the first may have been compiling."""
    runs = []

    def made_up(pilot, repeat, fold, candidate):
        assert (pilot.settings, pilot.inner_folds, repeat, fold) == (1, 1, 0, 0)
        runs.append(candidate.name)
        loading = 100.0 if candidate.name == "c" and runs.count("c") == 1 else 0.0
        return Unit(0, 0, candidate.name, seconds=2 * COST[candidate.name] + loading)

    monkeypatch.setattr("polytask.experiment.budget.run_unit", made_up)
    monkeypatch.setattr("polytask.experiment.budget.time.monotonic", lambda: 0.0)
    monkeypatch.setattr("polytask.experiment.budget.QUICK", 200.0)
    shrunk, notes = fit_to_budget(plan(), 2000.0, 1)
    assert runs == ["a", "a", "b", "b", "c", "c", "d", "d"]
    expected, told = shrink(plan(), COST, PLANNED * 2000.0)
    assert [c.name for c in shrunk.candidates] == [c.name for c in expected.candidates]
    assert (shrunk.settings, shrunk.inner_folds, len(shrunk.folds)) == (
        expected.settings,
        expected.inner_folds,
        len(expected.folds),
    )
    assert notes == told
    monkeypatch.setattr("polytask.experiment.budget.QUICK", 3.0)
    runs.clear()
    fit_to_budget(plan(), 2000.0, 1)
    assert runs == ["a", "a", "b", "c", "d"]


@pytest.mark.slow
def test_a_budget_is_kept():
    data = wide(200, q=4, p=10)
    for budget in (6.0, 12.0):
        start = time.monotonic()
        comparison = polytask.compare(
            data, models=["ridge", "group lasso", "forest", "boosting"], budget=budget, repeats=20
        )
        assert time.monotonic() - start < 1.15 * budget
        assert comparison.notes
        assert comparison.run["repeats"] < 20


def test_past_the_deadline_only_whole_folds_are_judged_and_the_notes_say_so(monkeypatch):
    """The pilot is told that fits cost nothing, so only the deadline can stop the run."""
    monkeypatch.setattr("polytask.experiment.budget._seconds", lambda pilot, candidate: 1e-6)
    data = wide(40)
    comparison = polytask.compare(
        data, models=fakes(sleep=0.03), budget=0.8, repeats=5, folds=4, inner_folds=1
    )
    done = len(comparison.chosen)
    assert 1 <= done < 20
    assert (
        f"time ran out: {done} of 20 folds are finished, and only their rows are judged" in comparison.notes
    )
    assert len(comparison.units) == 2 * done
    judged = np.isfinite(comparison.side_losses()["single"][:, 0]).sum()
    assert comparison.overall.n == judged > 0
