"""What every candidate of a comparison must keep (`polytask.candidates.Candidate`)."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from polytask.candidates import Candidate
from polytask.candidates.base import mean_loss, null_losses
from polytask.data import TaskData
from polytask.evaluation.folds import make_folds
from polytask.tasks import Task
from polytask.testing.claims import Claims
from polytask.testing.problems import all_problems

_SETTINGS, _SEED = 2, 0
#: Predictions of a task that move by more than this share of their spread have learned from other tasks.
_NOTICED = 0.4


def check_candidate(candidate: Candidate, data: TaskData | None = None) -> None:
    """Check a candidate on data, by default on small problems of every kind and form that it says it learns.

    Checked are name and role; settings that are plain data; tuning that returns a loss for every label;
    predictions of the right shape and range, for all rows and for some, for all tasks and for one; that the
    same seed gives the same model; that data is left as it was; that a single-task candidate learns nothing
    from other tasks; and that it predicts better than a constant.

    Parameters
    ----------
    candidate : Candidate
    data : TaskData, optional
        Features must be finite numbers: `compare` preprocesses before a candidate sees them.

    Raises
    ------
    AssertionError
        Naming the candidate, the problem and what failed.
    """
    claims = Claims(f"Candidate {getattr(candidate, 'name', type(candidate).__name__)!r}")
    claims.holds(isinstance(candidate, Candidate), "it does not subclass polytask.candidates.Candidate.")
    name, role = getattr(candidate, "name", None), getattr(candidate, "role", None)
    claims.holds(isinstance(name, str) and bool(name), f"its name must be a text, not {name!r}.")
    claims.holds(role in ("single", "sharing"), f"its role must be 'single' or 'sharing', not {role!r}.")
    if data is not None:
        unable = [t.name for t in data.tasks if not candidate.supports(t)]
        claims.holds(not unable, f"it does not support task {unable[:1]} of the data given.")
        claims.holds(candidate.applies(data), "it does not apply to the data given.")
        _check_on(candidate, data, claims)
        return
    suited = [
        (n, d) for n, d in all_problems() if all(map(candidate.supports, d.tasks)) and candidate.applies(d)
    ]
    claims.holds(bool(suited), "it supports no kind of task; give data that it can learn.")
    for problem, each in suited:
        _check_on(candidate, each, Claims(f"{claims.subject} on {problem}"))


def _check_on(candidate: Candidate, data: TaskData, claims: Claims) -> None:
    before = copy.deepcopy(data)
    _check_settings(candidate, data, claims)
    for setting in candidate.settings(data, 1):  # before tuning, which fails in less clear ways
        _check_predictions(candidate.fit(data, setting, _SEED), data, claims)
    folds = make_folds(data, 2, _SEED)
    tuned = candidate.tune(data, folds, _SEED, _SETTINGS)
    claims.plain(tuned.setting, "the tuned setting must be plain data")
    _check_inner(tuned.inner, data, folds, claims)
    model = candidate.fit(data, tuned.setting, _SEED)
    predictions = _check_predictions(model, data, claims)
    again = candidate.fit(data, tuned.setting, _SEED).predict_tasks(data.X)
    for t in data.task_names:
        claims.same(again[t], predictions[t], f"two fits with one seed must agree on task '{t}'")
    if candidate.role == "single":
        _check_alone(candidate, tuned.setting, predictions, data, claims)
    _check_untouched(before, data, claims)


def _check_settings(candidate: Candidate, data: TaskData, claims: Claims) -> None:
    settings = candidate.settings(data, _SETTINGS)
    claims.holds(len(settings) <= _SETTINGS, f"it gave {len(settings)} settings when asked for {_SETTINGS}.")
    claims.plain(settings, "settings must be plain data")


def _check_inner(inner: dict[str, np.ndarray], data: TaskData, folds: Any, claims: Claims) -> None:
    null = null_losses(data, folds)
    for t in data.task_names:
        claims.holds(t in inner, f"tuning returned no inner losses of task '{t}'.")
        n, wanted = len(inner[t]), len(data.rows[t])
        claims.holds(
            n == wanted, f"tuning returned {n} inner losses of task '{t}', which has {wanted} labels."
        )
        claims.holds(
            bool(np.isfinite(mean_loss(inner[t]))), f"the inner losses of task '{t}' are not finite."
        )
    relative = float(np.mean([mean_loss(inner[t]) / mean_loss(null[t]) for t in data.task_names]))
    claims.holds(relative < 1, f"it predicts no better than a constant ({relative:.2f} times its loss).")


def _check_predictions(model: Any, data: TaskData, claims: Claims) -> dict[str, np.ndarray]:
    """All predictions of all tasks, after a look at them and at parts of them."""
    predictions = model.predict_tasks(data.X)
    claims.holds(
        set(predictions) == set(data.task_names), f"it predicts {sorted(predictions)}, not all tasks."
    )
    for task in data.tasks:
        _check_prediction(task, np.asarray(predictions[task.name]), data.n_rows, claims)
    _check_some_rows(model, predictions, data, claims)
    return predictions


def _check_prediction(task: Task, p: np.ndarray, n: int, claims: Claims) -> None:
    shape = (n, task.n_outputs) if task.kind in ("multiclass", "multilabel") else (n,)
    claims.holds(
        p.shape == shape, f"predictions of '{task.name}' have the shape {p.shape} instead of {shape}."
    )
    claims.holds(bool(np.isfinite(p).all()), f"predictions of '{task.name}' are not all finite.")
    if task.is_classification:
        inside = bool(((p >= -1e-9) & (p <= 1 + 1e-9)).all())
        claims.holds(inside, f"predictions of '{task.name}' must be probabilities.")
    if task.kind == "multiclass":
        claims.same(p.sum(axis=1), np.ones(n), f"probabilities of '{task.name}' must sum to one", 1e-5)


def _check_some_rows(model: Any, full: dict[str, np.ndarray], data: TaskData, claims: Claims) -> None:
    rows = np.array([4, 0, 3])
    some = model.predict_tasks(data.X, dict.fromkeys(data.task_names, rows))
    for t in data.task_names:
        # float32 networks on another batch size round differently
        claims.same(
            some[t], full[t][rows], f"rows 4, 0, 3 of task '{t}' must be predicted as among all rows", 1e-5
        )
    last = data.task_names[-1]
    one = model.predict_tasks(data.X, {last: None})
    claims.holds(set(one) == {last}, f"asked for task '{last}' alone, it predicts {sorted(one)}.")
    claims.same(
        one[last], full[last], f"task '{last}' asked for alone must be predicted as among all tasks", 1e-5
    )


def _check_alone(
    candidate: Candidate, setting: Any, predictions: dict[str, np.ndarray], data: TaskData, claims: Claims
) -> None:
    """Other tasks' targets are reversed: a task that learns alone must hardly notice."""
    first = data.task_names[0]
    changed = copy.deepcopy(data)
    for t in changed.task_names[1:]:
        changed.targets[t] = changed.targets[t][::-1].copy()
    now = candidate.fit(changed, setting, _SEED).predict_tasks(data.X, {first: None})[first]
    moved = float(np.sqrt(np.mean((now - predictions[first]) ** 2)))
    share = moved / max(float(predictions[first].std()), 1e-12)
    # Not zero: networks that are trained side by side have the learning rate's schedule in common, and the
    # scale of a step changes when one of them stops.
    claims.holds(
        share < _NOTICED,
        f"its role is 'single', but reversing the other tasks' targets moves the predictions of '{first}' by "
        f"{share:.0%} of their spread.",
    )


def _check_untouched(before: TaskData, data: TaskData, claims: Claims) -> None:
    dense = [x.toarray() if hasattr(x, "toarray") else np.asarray(x) for x in (before.X, data.X)]
    claims.same(dense[1], dense[0], "the features must be left as they were", 0.0)
    for t in before.task_names:
        same = np.array_equal(data.targets[t], before.targets[t], equal_nan=True)
        claims.holds(same, f"the targets of task '{t}' must be left as they were.")
