"""What a balancer did over the steps of a run: weights, gradient norms, cosines, conflicts, losses.

Records are those of `polytask.balancing.Watch`, or read back from its file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from polytask.reporting.figures.series import series
from polytask.reporting.figures.similarity import as_matrix, clustered_order, similarity
from polytask.reporting.formats import finite, share, shorten
from polytask.reporting.markup import Html
from polytask.reporting.scales import Scale

Records = Sequence[Mapping[str, Any]]

_CONFLICT_POINTS = 40  # the share among few pairs jumps from step to step


def task_names(records: Records) -> list[str]:
    """All tasks, in order of appearance."""
    return list(dict.fromkeys(str(task) for record in records for task in record["tasks"]))


def per_task(records: Records, key: str) -> np.ndarray:
    """Losses, weights, norms, or "parts" (weight × norm): shape (records, tasks), NaN where there is none."""
    if key == "parts":
        return per_task(records, "weights") * per_task(records, "norms")
    return _table(records, key, task_names(records), tuple)


def per_pair(records: Records) -> np.ndarray:
    """Cosines: shape (records, pairs), pairs in the order of ``combinations(task_names(records), 2)``."""
    names = task_names(records)
    pairs = [frozenset(pair) for pair in combinations(names, 2)]
    return _table(records, "cosines", pairs, lambda tasks: map(frozenset, combinations(tasks, 2)))


def mean_cosines(records: Records) -> np.ndarray:
    """Mean over the records of each pair's cosine, shape (tasks, tasks); NaN for pairs never met."""
    n = len(task_names(records))
    out, above = np.eye(n), np.triu_indices(n, 1)
    out[above] = out.T[above] = means(per_pair(records))
    return out


def means(table: np.ndarray) -> np.ndarray:
    """Mean over the records that have a value, NaN where none has; shape (columns,)."""
    known = np.isfinite(table)
    sums, counts = np.where(known, table, 0.0).sum(axis=0), known.sum(axis=0)
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)


def conflict_rates(records: Records) -> np.ndarray:
    """Share of conflicting pairs, shape (records,); NaN where there is none."""
    return np.array([_float(record.get("conflicts")) for record in records])


def of_tasks(title: str, records: Records, key: str, zero: bool = False) -> Html:
    """What `per_task` gives, over the steps."""
    return series(title, _steps(records), task_names(records), per_task(records, key), zero=zero)


def of_pairs(records: Records) -> Html:
    """Cosines of the tasks' pairs over the steps."""
    names = [f"{shorten(a, 16)} · {shorten(b, 16)}" for a, b in combinations(task_names(records), 2)]
    title = f"Cosines of the gradients of {len(names)} pairs of tasks by step"
    return series(title, _steps(records), names, per_pair(records), zero=True)


def of_conflicts(records: Records) -> Html:
    """The share of pairs that conflict, over the steps."""
    title = "Share of pairs of tasks whose gradients conflict, by step"
    rates, scale = conflict_rates(records)[:, None], Scale(0.0, 1.0)
    return series(
        title, _steps(records), ["conflicts"], rates, y=scale, y_label=share, points=_CONFLICT_POINTS
    )


def matrix(records: Records) -> Html:
    """Mean cosines of all pairs; tasks that pull together lie next to each other."""
    cosines = as_matrix(mean_cosines(records).tolist())
    return similarity(task_names(records), cosines, clustered_order(cosines))


def _table(records: Records, key: str, columns: Sequence[Any], names: Callable[[Any], Any]) -> np.ndarray:
    """Values by column; `names` says which columns the tasks of a record stand for."""
    place = {name: k for k, name in enumerate(columns)}
    places: dict[tuple[str, ...], list[int]] = {}  # most records have the same tasks
    out = np.full((len(records), len(columns)), np.nan)
    for i, record in enumerate(records):
        tasks = tuple(map(str, record["tasks"]))
        if tasks not in places:
            places[tasks] = [place[name] for name in names(tasks)]
        if record.get(key) is not None:
            out[i, places[tasks]] = [_float(value) for value in record[key]]
    return out


def _float(value: Any) -> float:
    number = finite(value)
    return np.nan if number is None else number


def _steps(records: Records) -> list[float]:
    return [float(record["step"]) for record in records]
