"""Graphs of tasks: who is like whom, and how much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from polytask.errors import SettingError

#: Graphs that have a name.
NAMED = ("chain", "complete")


def task_graph(graph: Any, names: Sequence[str]) -> np.ndarray:
    """(q, q) symmetric weights of zero or more, with a zero diagonal.

    Parameters
    ----------
    graph : "chain", "complete", (q, q) array, DataFrame, mapping or list
        Tasks each linked with the next, in the order of `names`; all pairs linked; weights; weights with task
        names as index and columns; {(a, b): weight}; or a list of (a, b) or (a, b, weight). Tasks of edges are
        given by name, or by position where no task has that name.
    names : sequence of q str

    Raises
    ------
    SettingError
        For unknown tasks, negative weights, edges given twice or from a task to itself, asymmetric matrices.
    """
    n_tasks = len(names)
    if isinstance(graph, str):
        if graph not in NAMED:
            raise SettingError(f"graph must be 'chain', 'complete' or weights between tasks; got {graph!r}.")
        chain = np.eye(n_tasks, k=1) + np.eye(n_tasks, k=-1)
        return chain if graph == "chain" else np.ones((n_tasks, n_tasks)) - np.eye(n_tasks)
    if hasattr(graph, "columns"):
        return _checked(_frame(graph, names), names)
    if isinstance(graph, Mapping):
        return _from_edges([(*_pair(edge), weight) for edge, weight in graph.items()], names)
    if isinstance(graph, np.ndarray):
        return _checked(graph, names)
    if isinstance(graph, Iterable):
        return _from_edges([_edge(edge) for edge in graph], names)
    raise SettingError(f"graph must be 'chain', 'complete' or weights between tasks; got {graph!r}.")


def laplacian(weights: np.ndarray) -> np.ndarray:
    """L (q, q) with bᵀLb = Σ_{s<t} w_st (b_s − b_t)²."""
    return np.diag(weights.sum(axis=1)) - weights


def edges_of(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First tasks (e,), second tasks (e,) and weights (e,) of the edges."""
    first, second = np.nonzero(np.triu(weights, 1))
    return first, second, weights[first, second]


def _frame(frame: Any, names: Sequence[str]) -> np.ndarray:
    """The weights of a frame in the order of the tasks."""
    columns = [str(name) for name in frame.columns]
    index = [str(name) for name in frame.index] if hasattr(frame, "index") else columns
    for label, given in (("column", columns), ("index entry", index)):
        lacking, extra = set(names) - set(given), set(given) - set(names)
        if lacking or extra:
            name = min(extra) if extra else min(lacking)
            why = f"is no task; the tasks are {', '.join(names)}" if extra else f"has no {label}"
            raise SettingError(f"graph: '{name}' {why}.")
    table = np.asarray(frame, dtype=float)
    return table[np.ix_([index.index(name) for name in names], [columns.index(name) for name in names])]


def _checked(weights: np.ndarray, names: Sequence[str]) -> np.ndarray:
    weights = np.asarray(weights, dtype=float)
    if weights.shape != (len(names), len(names)):
        raise SettingError(
            f"graph needs a row and a column for each of the {len(names)} tasks, got shape {weights.shape}."
        )
    bad = ~np.isfinite(weights) | (weights < 0)
    for wrong, what in (
        (bad, "must be zero or more"),
        (~np.isclose(weights, weights.T, rtol=1e-12, atol=0), "must be the same in both directions"),
        (np.diag(np.diag(weights) != 0), "must be zero from a task to itself"),
    ):
        if wrong.any():
            s, t = np.argwhere(wrong)[0]
            raise SettingError(
                f"graph: weights {what}, but that of '{names[s]}' and '{names[t]}' is {weights[s, t]:g}"
                f"{f' and {weights[t, s]:g}' if s != t else ''}."
            )
    return (weights + weights.T) / 2


def _from_edges(edges: list[tuple[Any, Any, float]], names: Sequence[str]) -> np.ndarray:
    weights = np.full((len(names), len(names)), np.nan)
    for a, b, weight in edges:
        s, t = _position(a, names), _position(b, names)
        if not np.isnan(weights[s, t]):
            raise SettingError(
                f"graph: the edge of '{names[s]}' and '{names[t]}' is given twice; give it once."
            )
        weights[s, t] = weights[t, s] = _weight(weight, names[s], names[t])
    return _checked(np.nan_to_num(weights), names)


def _weight(weight: Any, first: str, second: str) -> float:
    try:
        number = float(weight)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number) or number < 0:
        raise SettingError(
            f"graph: the weight of '{first}' and '{second}' must be zero or more; got {weight!r}."
        )
    return number


def _edge(edge: Any) -> tuple[Any, Any, float]:
    """An edge of a list as (a, b, weight)."""
    if isinstance(edge, str) or not isinstance(edge, Sequence) or len(edge) not in (2, 3):
        raise SettingError(f"graph: an edge is (task, task) or (task, task, weight); got {edge!r}.")
    return edge[0], edge[1], edge[2] if len(edge) == 3 else 1.0


def _pair(edge: Any) -> tuple[Any, Any]:
    """A key of a mapping as (a, b)."""
    if isinstance(edge, str) or not isinstance(edge, Sequence) or len(edge) != 2:
        raise SettingError(f"graph: the keys of a mapping are pairs of tasks; got {edge!r}.")
    return edge[0], edge[1]


def _position(task: Any, names: Sequence[str]) -> int:
    if str(task) in names:
        return list(names).index(str(task))
    if isinstance(task, (int, np.integer)) and 0 <= task < len(names):
        return int(task)
    raise SettingError(f"graph: there is no task {task!r}; the tasks are {', '.join(names)}.")
