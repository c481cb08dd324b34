"""The main job: does learning the tasks together help, which ones, with what model?

Single-task and sharing candidates are tuned with the same effort on inner validation data, the best of each
side is chosen inside every outer fold, and only then are the two sides compared on the rows of that fold.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from polytask import __version__, environment
from polytask.best_model import BestModel, fit_model, refit
from polytask.candidates.base import labelled_in
from polytask.data import TaskData, frames
from polytask.evaluation.metrics import score
from polytask.evaluation.selection import choose
from polytask.evaluation.significance import holm
from polytask.evaluation.verdicts import HELPED, HURT, Verdict, judge, summarise, word_for
from polytask.experiment.budget import fit_to_budget
from polytask.experiment.execute import complete_folds, execute, plan_jobs
from polytask.experiment.outcomes import (
    average_repeats,
    choose_sides,
    dependent_rows,
    null_table,
    out_of_fold_losses,
)
from polytask.experiment.preparation import SIDES, both_sides, check_settings, outer_folds
from polytask.experiment.progress import ProgressBar
from polytask.experiment.recording import warning_notes
from polytask.experiment.store import Store
from polytask.experiment.units import Plan, Unit
from polytask.files import write_atomic
from polytask.tasks import Task

__all__ = ["BestModel", "Comparison", "compare", "fit_model"]


def compare(
    data: TaskData,
    *,
    models: Sequence[Any] | None = None,
    folds: int = 5,
    repeats: int = 3,
    inner_folds: int = 3,
    settings: int = 4,
    budget: float | None = None,
    folder: str | Path | None = None,
    preprocessing: Any = None,
    level: float = 0.95,
    seed: int = 0,
    n_jobs: int | None = None,
    progress: bool = False,
) -> Comparison:
    """Compare learning the tasks together with learning them apart.

    Parameters
    ----------
    data : TaskData
        At least two tasks; groups and time, if given, are respected by all folds.
    models : sequence, optional
        Candidates: names of the catalogue, scikit-learn estimators or (name, estimator) pairs (fitted per
        task), `polytask.candidates.Candidate` objects. Default: all of the catalogue that suit the data.
    folds, repeats : int
        Outer validation: repeated K-fold (one pass forward in time if `data.time` is given).
    inner_folds : int
        Validation folds within every training set, on which everything is tuned and chosen; 1 = a hold-out.
    settings : int
        Settings that each family may try. Penalty paths of linear models count as one setting.
    budget : float, optional
        Seconds of wall clock for this call. The plan is shrunk to fit; what was cut is in `notes`. At least
        one fold is always finished. `best_model` and the report come on top; `explain` keeps to what is left.
    folder : path, optional
        Keeps finished work; the same call resumes from it after an interruption, with the plan that the first
        call settled on (later budgets only say how long to go on).
    preprocessing : transformer, optional
        Replaces the default preprocessing of features; fitted on training rows, without targets.
    level : float
        Of intervals; verdicts are at 1 − level.
    seed : int
    n_jobs : int, optional
        As in joblib; None follows `joblib.parallel_config`.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError, SettingError
    KeyboardInterrupt
        On Ctrl-C; with a `folder` its message tells how much is kept there.
    """
    start = time.monotonic()
    check_settings(data, folds, repeats, inner_folds, settings, level, seed, budget)
    compared, outer, left_out = outer_folds(data, folds, 1 if data.time is not None else repeats, seed)
    candidates = both_sides(models, compared)
    plan = Plan(compared, tuple(candidates), outer, preprocessing, seed, inner_folds, settings)
    store = Store(folder, plan) if folder is not None else None
    earlier = store.recall() if store else None
    notes: list[str] = []
    if earlier:
        plan, notes = earlier
    elif budget is not None:
        plan, notes = fit_to_budget(plan, budget, n_jobs)
    if store and not earlier:
        store.remember(plan, notes)
    deadline = None if budget is None else start + 0.9 * budget
    with ProgressBar(progress) as bar, _telling_what_is_kept(store, plan):
        units = execute(plan, store, n_jobs=n_jobs, deadline=deadline, report=bar)
    run = {
        "folds": folds,
        "repeats": len(plan.folds),
        "inner_folds": plan.inner_folds,
        "settings": plan.settings,
        "seed": seed,
        "level": level,
        "budget": budget,
        "seconds": time.monotonic() - start,
    }
    return Comparison(data, plan, units, left_out, notes + warning_notes(units), run)


class Comparison:
    """The result of `compare`: verdicts, tables, the report and the best model.

    Attributes
    ----------
    overall : Verdict
        On the mean over tasks of the loss differences, each as a fraction of the single-task loss.
    task_verdicts : list of Verdict
        Per task, with Holm's correction over tasks.
    left_out : dict of str to str
        Tasks that could not be compared, and why; the best model predicts them too.
    notes : list of str
        What a budget cut and what the models' solvers warned about, in words.
    run : dict
        Folds, repeats, seeds, seconds.
    """

    def __init__(
        self,
        data: TaskData,
        plan: Plan,
        units: Sequence[Unit],
        left_out: dict[str, str],
        notes: Sequence[str],
        run: dict[str, Any],
    ) -> None:
        self.data, self.plan = data, plan
        self.left_out, self.notes, self.run = left_out, list(notes), run
        self._folds = sorted(complete_folds(plan, units))
        self.units = [u for u in units if (u.repeat, u.fold) in set(self._folds)]
        _note_unfinished(self.notes, plan, self._folds)
        self.tasks: tuple[Task, ...] = plan.data.tasks
        self.losses = out_of_fold_losses(plan, self.units)
        self.null = null_table(plan, self._folds)
        self.chosen = {
            rf: choose_sides(plan, [u for u in self.units if (u.repeat, u.fold) == rf]) for rf in self._folds
        }
        self.clusters = dependent_rows(plan.data)
        sides = self.side_losses()
        self.task_verdicts, self.overall = judge(
            sides["single"],
            sides["sharing"],
            average_repeats(self.null),
            self.task_names,
            self.clusters,
            level=run["level"],
        )
        self._explained: dict[str, Any] | None = None
        self._best: BestModel | None = None

    @property
    def task_names(self) -> list[str]:
        return [t.name for t in self.tasks]

    # ------------------------------------------------------------------ results

    def verdicts(self) -> dict[str, str]:
        """Task → helped, no difference or hurt; the key "overall" holds the overall verdict."""
        return {v.task: v.verdict for v in [*self.task_verdicts, self.overall]}

    def summary(self) -> str:
        """The verdict in a sentence."""
        return summarise(self.overall, self.task_verdicts)

    def gains(self) -> Any:
        """A table with a row per task and one for overall: losses, gain with interval, p, verdict.

        A pandas or polars frame where the caller's data was one; otherwise a list of dicts.
        """
        rows = [v.to_dict() for v in [*self.task_verdicts, self.overall]]
        return _as_table(rows, self.data.X)

    def table(self) -> Any:
        """All candidates: a row per candidate and task with loss, gain over the single-task side, Holm's p.

        The correction runs over all rows of the table: tasks × candidates.
        """
        rows = []
        for entry in self.candidate_results():
            for task, result in entry["tasks"].items():
                flat = {k: v for k, v in result.items() if k != "metrics"}
                rows.append(
                    {
                        "candidate": entry["name"],
                        "role": entry["role"],
                        "task": task,
                        **flat,
                        **result["metrics"],
                        "seconds": entry["seconds"],
                    }
                )
        return _as_table(rows, self.data.X)

    def side_losses(self) -> dict[str, np.ndarray]:
        """Out-of-fold losses (n_rows, T) of the single and the sharing side, averaged over repeats."""
        out = {}
        for side in SIDES:
            table = np.full(next(iter(self.losses.values())).shape, np.nan)
            for (r, f), sides in self.chosen.items():
                test = self.plan.folds[r][f][1]
                for k, t in enumerate(self.task_names):
                    table[r, test, k] = self.losses[sides[side][t]][r, test, k]
            out[side] = average_repeats(table)
        return out

    def candidate_results(self) -> list[dict[str, Any]]:
        """Per candidate: its gain over the single-task side in every task, metrics, time."""
        single = self.side_losses()["single"]
        results: list[dict[str, Any]] = []
        p_values: list[float] = []
        for candidate in self.plan.candidates:
            mine = average_repeats(self.losses[candidate.name])
            names = self.plan.tasks_of(candidate)
            columns = [self.task_names.index(t) for t in names]
            verdicts, overall = judge(
                single[:, columns],
                mine[:, columns],
                average_repeats(self.null)[:, columns],
                names,
                self.clusters,
                level=self.run["level"],
            )
            p_values += [v.p for v in verdicts]
            units = [u for u in self.units if u.candidate == candidate.name]
            results.append(
                {
                    "name": candidate.name,
                    "role": candidate.role,
                    "seconds": sum(u.seconds for u in units),
                    "settings_tried": max(u.settings_tried for u in units),
                    "delta_percent": overall.gain_percent if len(names) == len(self.tasks) else None,
                    "tasks": {
                        v.task: _candidate_task(v, self._metrics(v.task, lambda rf, t, c=candidate: c.name))
                        for v in verdicts
                    },
                }
            )
        adjusted = iter(holm(np.array(p_values)))
        for entry in results:
            for result in entry["tasks"].values():
                result["p_adjusted"] = float(next(adjusted))
                result["verdict"] = word_for(result["gain_percent"], result["p_adjusted"], self.run["level"])
        return results

    def best_model(self) -> BestModel:
        """The winning side refitted on all rows; tasks that it hurts keep the other side's model."""
        if self._best is None:
            self._best = refit(
                self.data,
                self.plan.candidates,
                self.final_choice(),
                preprocessing=self.plan.preprocessing,
                n_inner=max(self.plan.inner_folds, 3),
                settings=self.plan.settings,
                seed=self.plan.seed,
            )
        return self._best

    def final_choice(self) -> dict[str, str]:
        """Candidate of each task for the model that is handed back, from the out-of-fold losses of all folds.

        The winning side is the one that the overall verdict names, or the one with the lower mean loss when
        there is no verdict; a task whose own verdict contradicts it takes the other side. Tasks that could
        not be compared take the winning side.
        """
        sides = {side: self._chosen_overall(side) for side in SIDES}
        winner = "sharing" if self.overall.gain > 0 else "single"
        against = HURT if winner == "sharing" else HELPED
        other = "single" if winner == "sharing" else "sharing"
        chosen = {
            v.task: sides[other if v.verdict == against else winner][v.task] for v in self.task_verdicts
        }
        for t in self.left_out:
            chosen[t] = self._most_common(sides[winner], self.data.task(t))
        return chosen

    def _chosen_overall(self, side: str) -> dict[str, str]:
        """The side's candidate per task by the out-of-fold losses of all folds."""
        losses = {}
        for candidate in self.plan.candidates:
            if candidate.role == side:
                table = average_repeats(self.losses[candidate.name])
                losses[candidate.name] = {
                    t: table[:, self.task_names.index(t)] for t in self.plan.tasks_of(candidate)
                }
        null = average_repeats(self.null)
        return choose(losses, dict(zip(self.task_names, np.nanmean(null, axis=0))), self.tasks)

    def _most_common(self, chosen: Mapping[str, str], task: Task) -> str:
        able = {c.name for c in self.plan.candidates if c.supports(task)}
        count = Counter(name for name in chosen.values() if name in able)
        return count.most_common(1)[0][0] if count else sorted(able)[0]

    # ------------------------------------------------------------------ explanation and output

    def explain(self) -> dict[str, Any]:
        """The facts behind the verdicts: task sizes, noise, similarity, and the gain as rows are thinned."""
        if self._explained is None:
            from polytask.explain import explain

            self._explained = explain(self)
        return self._explained

    def to_dict(self) -> dict[str, Any]:
        """Everything the report shows, as plain data for JSON."""
        from polytask.explain import curves, sparsity

        return {
            "schema": 1,
            "polytask": __version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "summary": self.summary(),
            "overall": self.overall.to_dict(),
            "tasks": [self._task_result(v) for v in self.task_verdicts],
            "candidates": self.candidate_results(),
            "left_out": self.left_out,
            "notes": self.notes,
            "explain": self.explain(),
            "sparsity": sparsity(self),
            "curves": curves(self),
            "run": {
                **self.run,
                "n_rows": self.data.n_rows,
                "n_features": len(self.data.feature_names),
                "form": self.data.form,
                "versions": environment.versions(),
                "hardware": environment.hardware(),
            },
        }

    def to_html(self, path: str | Path) -> Path:
        """Write the report: one HTML file that needs no network."""
        from polytask.reporting.html import write_html

        write_html(self.to_dict(), path)
        return Path(path)

    def to_json(self, path: str | Path) -> Path:
        """Write `to_dict()` as JSON."""
        write_atomic(path, environment.dump_json(self.to_dict()))
        return Path(path)

    def __repr__(self) -> str:
        return f"Comparison({self.summary()})"

    def _task_result(self, verdict: Verdict) -> dict[str, Any]:
        task = self.plan.data.task(verdict.task)
        share = {
            side: {
                c: k / len(self.chosen)
                for c, k in Counter(s[side][task.name] for s in self.chosen.values()).items()
            }
            for side in SIDES
        }
        metrics = {
            side: self._metrics(task.name, lambda rf, t, s=side: self.chosen[rf][s][t]) for side in SIDES
        }
        return {
            **verdict.to_dict(),
            "kind": task.kind,
            "labels": len(self.plan.data.rows[task.name]),
            **share,
            "metrics": metrics,
        }

    def _metrics(self, name: str, candidate_of: Callable[..., str]) -> dict[str, float]:
        """Metrics on the out-of-fold predictions of a task, mean over repeats."""
        data, task = self.plan.data, self.plan.data.task(name)
        by_repeat: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        for unit in self.units:
            if unit.candidate == candidate_of((unit.repeat, unit.fold), name) and name in unit.predictions:
                where = labelled_in(data, self.plan.folds[unit.repeat][unit.fold][1])[0][name]
                by_repeat.setdefault(unit.repeat, []).append((where, unit.predictions[name]))
        values: dict[str, list[float]] = {m: [] for m in task.metrics}
        for parts in by_repeat.values():
            where = np.concatenate([w for w, _ in parts])
            predicted = np.concatenate([p for _, p in parts])
            for m in task.metrics:
                values[m].append(
                    score(task, m, data.targets[name][where], predicted, data.weights[name][where])
                )
        return {m: float(np.mean(v)) for m, v in values.items()}


def _note_unfinished(notes: list[str], plan: Plan, finished: Sequence[tuple[int, int]]) -> None:
    total = sum(len(folds) for folds in plan.folds)
    if len(finished) < total:
        notes.append(
            f"time ran out: {len(finished)} of {total} folds are finished, and only their rows are judged"
        )


def _candidate_task(verdict: Verdict, metrics: dict[str, float]) -> dict[str, Any]:
    return {
        "loss": verdict.loss_sharing,
        "gain_percent": verdict.gain_percent,
        "low_percent": verdict.low_percent,
        "high_percent": verdict.high_percent,
        "metrics": metrics,
    }


def _as_table(rows: list[dict[str, Any]], like: Any) -> Any:
    if not frames.is_frame(like):
        return rows
    keys = list(dict.fromkeys(key for row in rows for key in row))
    columns = {key: np.array([row.get(key, np.nan) for row in rows]) for key in keys}
    return frames.frame_like(like, columns)


@contextlib.contextmanager
def _telling_what_is_kept(store: Store | None, plan: Plan) -> Iterator[None]:
    """An interruption says where the finished part is."""
    try:
        yield
    except KeyboardInterrupt:
        if store is None:
            raise
        total = sum(1 for _ in plan_jobs(plan))
        raise KeyboardInterrupt(
            f"{len(store.read(plan))} of {total} fits are finished and kept in '{store.folder}'; the same "
            "call goes on from there."
        ) from None
