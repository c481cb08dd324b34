"""The facts behind verdicts, as plain data: sizes, noise, similarity, thinning, coefficients, curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from polytask.candidates.base import fold_losses
from polytask.data import TaskData
from polytask.data.preprocessing import names_out
from polytask.evaluation.verdicts import judge
from polytask.experiment.units import prepare
from polytask.linear import TaskRidgeCV
from polytask.tasks import Task

if TYPE_CHECKING:
    from polytask.comparison import Comparison

#: Fractions of the training rows at which the gain is measured again.
THINNED = (0.25, 0.5)

#: Thinning refits the chosen models per fold and fraction; past this many seconds it is left out.
THINNING_SECONDS = 30.0


def explain(comparison: Comparison) -> dict[str, Any]:
    """Task sizes and noise, similarity of the tasks' coefficients, and the gain as rows are thinned."""
    names, matrix = similarity(comparison.plan.data)
    tasks = {}
    for k, verdict in enumerate(comparison.task_verdicts):
        others = [matrix[k][j] for j in range(len(names)) if j != k]
        best = min(verdict.loss_single, verdict.loss_sharing)
        tasks[verdict.task] = {
            "labels": len(comparison.plan.data.rows[verdict.task]),
            "noise": best / verdict.loss_null if verdict.loss_null > 0 else None,
            "similarity": float(np.mean(others)) if others else None,
        }
    return {
        "tasks": tasks,
        "similarity": {"tasks": names, "matrix": matrix},
        "thinning": thinning(comparison),
    }


def similarity(data: TaskData) -> tuple[list[str], list[list[float]]]:
    """Cosine similarity of the tasks' ridge coefficients on standardised features and targets.

    It asks "do the same features act in the same way?", and needs no rows in common. Classes count as 0/1,
    a task of several labels by the mean over them.
    """
    part, _, _ = prepare(data, None)
    coef = _ridge(_as_regression(part)).coef_
    norm = np.linalg.norm(coef, axis=1, keepdims=True)
    unit = np.divide(coef, norm, out=np.zeros_like(coef), where=norm > 0)
    matrix = unit @ unit.T
    np.fill_diagonal(matrix, 1.0)
    return data.task_names, np.round(matrix, 4).tolist()


def thinning(comparison: Comparison) -> list[dict[str, float]]:
    """The overall gain when the models learn from a fraction of the rows (first repeat, no new tuning).

    Left out (an empty list) when refitting should take more than `THINNING_SECONDS`, or more than what the
    comparison left of its budget.
    """
    if _refit_seconds(comparison) > _seconds_left(comparison):
        return []
    points = [_thinned(comparison, fraction) for fraction in THINNED]
    full = comparison.overall
    points.append(
        {
            "fraction": 1.0,
            "gain_percent": full.gain_percent,
            "low_percent": full.low_percent,
            "high_percent": full.high_percent,
        }
    )
    return [p for p in points if p]


def _refit_seconds(comparison: Comparison) -> float:
    """Estimate from the units' own times: the chosen candidates of each fold, once per fraction."""
    plan, total = comparison.plan, 0.0
    for unit in comparison.units:
        sides = comparison.chosen[unit.repeat, unit.fold]
        if unit.repeat == 0 and any(unit.candidate in chosen.values() for chosen in sides.values()):
            total += sum(THINNED) * unit.seconds / (1 + plan.inner_folds * unit.settings_tried)
    return total


def _seconds_left(comparison: Comparison) -> float:
    budget = comparison.run["budget"]
    return THINNING_SECONDS if budget is None else min(THINNING_SECONDS, budget - comparison.run["seconds"])


def _thinned(comparison: Comparison, fraction: float) -> dict[str, float]:
    plan, data = comparison.plan, comparison.plan.data
    shape = (data.n_rows, len(data.tasks))
    sides = {
        "single": np.full(shape, np.nan),
        "sharing": np.full(shape, np.nan),
        "null": np.full(shape, np.nan),
    }
    for (r, f), chosen in comparison.chosen.items():
        if r > 0:
            continue
        train, test = plan.folds[r][f]
        kept = _thin(data, train, fraction, plan.seed + f)
        for side in ("single", "sharing"):
            _losses_on(comparison, chosen[side], kept, test, f, sides[side])
        sides["null"][test] = 1.0
    _, overall = judge(
        sides["single"],
        sides["sharing"],
        sides["null"],
        data.task_names,
        comparison.clusters,
        level=comparison.run["level"],
    )
    return {
        "fraction": fraction,
        "gain_percent": overall.gain_percent,
        "low_percent": overall.low_percent,
        "high_percent": overall.high_percent,
    }


def _thin(data: TaskData, train: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """A random part of the training rows with at least two labels of every task; the latest ones in time."""
    if data.time is not None:
        latest = np.argsort(data.time[train], kind="stable")[-max(2, round(fraction * len(train))) :]
        return np.sort(train[latest])
    rng = np.random.default_rng(seed)
    kept = np.zeros(data.n_rows, dtype=bool)
    if not data.own_rows:
        kept[rng.choice(train, max(2, round(fraction * len(train))), replace=False)] = True
        return np.flatnonzero(kept)
    inside = np.isin(np.arange(data.n_rows), train)
    for t in data.task_names:
        rows = data.rows[t][inside[data.rows[t]]]
        kept[rng.choice(rows, min(len(rows), max(2, round(fraction * len(rows)))), replace=False)] = True
    return np.flatnonzero(kept)


def _losses_on(
    comparison: Comparison,
    chosen: dict[str, str],
    kept: np.ndarray,
    test: np.ndarray,
    fold: int,
    out: np.ndarray,
) -> None:
    """Losses of the chosen candidates, with the settings they had in this fold, fitted on the kept rows."""
    plan = comparison.plan
    settings = {u.candidate: u.setting for u in comparison.units if (u.repeat, u.fold) == (0, fold)}
    for candidate in plan.candidates:
        mine = [t for t, name in chosen.items() if name == candidate.name]
        if not mine:
            continue
        data = plan.data.select(plan.tasks_of(candidate))
        part, transformer, scaler = prepare(data.subset(kept), plan.preprocessing)
        model = candidate.fit(part, settings[candidate.name], plan.seed + fold)
        losses = {t: np.full(len(data.rows[t]), np.nan) for t in data.task_names}
        features = transformer.transform(data.X)

        def predict(_: Any, rows: Any, model: Any = model, X: Any = features, scaler: Any = scaler) -> Any:
            return scaler.inverse(model.predict_tasks(X, rows))

        fold_losses(predict, data, data.subset(kept), test, losses)
        for t in mine:
            out[data.rows[t], plan.data.task_names.index(t)] = np.where(
                np.isnan(losses[t]), out[data.rows[t], plan.data.task_names.index(t)], losses[t]
            )


def sparsity(comparison: Comparison) -> list[dict[str, Any]]:
    """Coefficients (tasks × features, standardised) of the sparse linear candidates fitted on all rows."""
    plan = comparison.plan
    pictures = []
    for candidate in plan.candidates:
        if candidate.name not in ("lasso", "group lasso"):
            continue
        data = plan.data.select(plan.tasks_of(candidate))
        part, transformer, _ = prepare(data, plan.preprocessing)
        setting = next(u.setting for u in comparison.units if u.candidate == candidate.name)
        model: Any = candidate.fit(part, setting, plan.seed)
        pictures.append(
            {
                "model": candidate.name,
                "role": candidate.role,
                "tasks": data.task_names,
                "features": names_out(transformer, data.feature_names, part.X.shape[1]),
                "coef": model.coef_.tolist(),
            }
        )
    return pictures


def curves(comparison: Comparison) -> list[dict[str, Any]]:
    """Training histories of the networks on the first fold."""
    return [
        {"model": u.candidate, "history": u.history}
        for u in comparison.units
        if u.history and (u.repeat, u.fold) == (0, 0)
    ]


def _as_regression(data: TaskData) -> TaskData:
    """Every task as one number per row, standardised."""
    targets = {}
    for task in data.tasks:
        y = data.targets[task.name]
        y = np.nanmean(y, axis=1) if y.ndim == 2 else y.astype(float)
        targets[task.name] = (y - y.mean()) / (y.std() or 1.0)
    tasks = [Task(t.name, "regression") for t in data.tasks]
    return data.with_targets(tasks, targets)


def _ridge(data: TaskData) -> Any:
    return TaskRidgeCV(cv=3, standardize=True).fit(data)
