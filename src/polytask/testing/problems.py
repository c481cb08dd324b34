"""Small problems of every kind on which a method can be tried in a moment."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from polytask.data import TaskData
from polytask.tasks import Task

KINDS = ("regression", "binary", "multiclass", "counts", "multilabel")


def wide(kind: str, n: int = 120, seed: int = 0) -> TaskData:
    """Two related tasks of this kind over one table."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    Y = {f"t{k}": _target(kind, X[:, 0] + 0.3 * k * X[:, 1], rng) for k in range(2)}
    return TaskData.from_wide(X, Y, tasks=[Task(t, kind) for t in Y])


def own_rows(kind: str, n: int = 60, seed: int = 0) -> TaskData:
    """Three related tasks of this kind, each with its own n rows."""
    rng = np.random.default_rng(seed)
    tables = {}
    for name in "uvw":
        X = rng.normal(size=(n, 3))
        tables[name] = (X, _target(kind, X[:, 0], rng))
    return TaskData.from_dict(tables, tasks=[Task(t, kind) for t in tables])


def missing(kind: str, seed: int = 0) -> TaskData:
    """As `wide`, but every task lacks the labels of some rows."""
    data = wide(kind, seed=seed)
    for k, t in enumerate(data.task_names):
        kept = np.arange(len(data.rows[t])) % 5 != k
        data.rows[t] = data.rows[t][kept]
        data.targets[t], data.weights[t] = data.targets[t][kept], data.weights[t][kept]
    return data


def all_problems() -> Iterator[tuple[str, TaskData]]:
    """All forms of all kinds, with a name each."""
    for kind in KINDS:
        yield f"{kind}, one table", wide(kind)
        yield f"{kind}, one table with missing labels", missing(kind)
        if kind != "multilabel":
            yield f"{kind}, tasks with their own rows", own_rows(kind)


def _target(kind: str, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noisy = signal + 0.3 * rng.normal(size=len(signal))
    if kind == "regression":
        return noisy
    if kind == "binary":
        return (noisy > 0).astype(int)
    if kind == "multiclass":
        return np.digitize(noisy, [-0.7, 0.7]).astype(str)
    if kind == "counts":
        return rng.poisson(np.exp(signal))
    return np.column_stack([noisy > 0, noisy > 0.5]).astype(float)
