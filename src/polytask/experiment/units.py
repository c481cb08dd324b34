"""The plan of a comparison and its units of work: one candidate on one fold of one repeat."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone

from polytask.candidates.base import Candidate, labelled_in, mean_loss, null_losses
from polytask.data import TaskData, default_preprocessing, frames
from polytask.data.scaling import TargetScaler
from polytask.errors import PolytaskError
from polytask.evaluation.folds import Fold, holdout, make_folds, most_folds
from polytask.experiment.recording import recorded


@dataclass(frozen=True)
class Plan:
    """All that decides the result of every unit."""

    data: TaskData
    candidates: tuple[Candidate, ...]
    folds: tuple[tuple[Fold, ...], ...]  # by repeat
    preprocessing: Any
    seed: int
    inner_folds: int
    settings: int

    def tasks_of(self, candidate: Candidate) -> list[str]:
        return [t.name for t in self.data.tasks if candidate.supports(t)]


@dataclass
class Unit:
    """One candidate on one fold of one repeat, and what came of it.

    Attributes
    ----------
    predictions : dict of str to ndarray
        Per task, for its labelled test rows in order, in the target's units.
    inner : dict of str to ndarray
        Inner validation losses of the training rows, on scaled targets; `inner_null` their constant's means.
    warnings : list of str
        Distinct messages of warnings raised while fitting.
    """

    repeat: int
    fold: int
    candidate: str
    setting: Any = None
    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    inner: dict[str, np.ndarray] = field(default_factory=dict)
    inner_null: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    settings_tried: int = 0
    history: Any = None
    warnings: list[str] = field(default_factory=list)


def run_unit(plan: Plan, repeat: int, fold: int, candidate: Candidate) -> Unit:
    """Tune on inner folds of the training rows, fit on all of them, predict the test rows."""
    with recorded() as messages:
        unit = _run(plan, repeat, fold, candidate)
    unit.warnings = messages
    return unit


def _run(plan: Plan, repeat: int, fold: int, candidate: Candidate) -> Unit:
    start = time.perf_counter()
    train, test = plan.folds[repeat][fold]
    data = plan.data.select(plan.tasks_of(candidate))
    seed = plan.seed + 1000 * repeat + fold
    try:
        part, transformer, scaler = prepare(data.subset(train), plan.preprocessing)
        inner = inner_folds(part, plan.inner_folds, seed)
        tuned = candidate.tune(part, inner, seed, plan.settings)
        model = candidate.fit(part, tuned.setting, seed)
        _, wanted = labelled_in(data, test)
        position = np.full(data.n_rows, -1)
        position[test] = np.arange(len(test))
        features = as_features(transformer.transform(frames.take_rows(data.X, test)))
        predictions = scaler.inverse(
            model.predict_tasks(features, {t: position[r] for t, r in wanted.items()})
        )
    except PolytaskError as error:
        raise type(error)(f"Candidate '{candidate.name}' (repeat {repeat}, fold {fold}): {error}") from error
    except Exception as error:
        raise PolytaskError(
            f"Candidate '{candidate.name}' failed (repeat {repeat}, fold {fold}): "
            f"{type(error).__name__}: {error}"
        ) from error
    null = {t: mean_loss(v) for t, v in null_losses(part, inner).items()}
    tried = min(plan.settings, max(1, len(candidate.settings(part, plan.settings))))
    return Unit(
        repeat,
        fold,
        candidate.name,
        tuned.setting,
        predictions,
        tuned.inner,
        null,
        time.perf_counter() - start,
        tried,
        getattr(model, "history_", None),
    )


def prepare(data: TaskData, preprocessing: Any) -> tuple[TaskData, Any, TargetScaler]:
    """Preprocessed features and scaled targets, learned from these rows, with what undoes them."""
    transformer = default_preprocessing(data.X) if preprocessing is None else clone(preprocessing)
    features = as_features(transformer.fit_transform(data.X))
    scaler = TargetScaler().fit(data)
    return scaler.transform(data.with_X(features)), transformer, scaler


def as_features(table: Any) -> Any:
    """What a preprocessing returned as a float array or CSR matrix."""
    if hasattr(table, "tocsr"):
        return table.tocsr().astype(np.float64)
    return np.ascontiguousarray(np.asarray(table), dtype=np.float64)


def inner_folds(data: TaskData, n: int, seed: int) -> list[Fold]:
    """Inner folds, fewer where rows, groups or times are too few for `n`; one means a hold-out split."""
    return [holdout(data, seed)] if n == 1 else make_folds(data, min(n, most_folds(data)), seed)
