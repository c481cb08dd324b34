"""Small problems that several tests train on."""

from __future__ import annotations

import numpy as np

from polytask.data import TaskData
from polytask.tasks import Task


def mixed(n: int = 60, seed: int = 0, missing: float = 0.3) -> TaskData:
    """All kinds of tasks over one table, with missing labels and weights."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    signal = X @ rng.normal(size=(4, 6))
    columns = {
        "price": 50 + 20 * signal[:, 0] + rng.normal(size=n),
        "sold": (signal[:, 1] + 0.3 * rng.normal(size=n) > 0).astype(float),
        "size": 5 + signal[:, 2] + 0.1 * rng.normal(size=n),
        "visits": rng.poisson(np.exp(0.5 * signal[:, 3])).astype(float),
        "tags": (signal[:, 3:6] > 0).astype(float),
        "grade": np.digitize(signal[:, 4], [-1.0, 1.0]).astype(float),
    }
    for values in columns.values():
        values[rng.random(values.shape) < missing] = np.nan
    tasks = [Task("visits", "counts"), Task("grade", "multiclass"), Task("size", loss="huber")]
    return TaskData.from_wide(X, columns, tasks, sample_weight=rng.uniform(0.5, 2, size=n))


def own_rows(mixed_kinds: bool = False, sizes: tuple[int, ...] = (25, 4, 40), seed: int = 0) -> TaskData:
    """Tasks with rows of their own."""
    rng = np.random.default_rng(seed)
    tables = {}
    for k, n in enumerate(sizes):
        X = rng.normal(size=(n, 4))
        y = X[:, 0] + 0.5 * k * X[:, 1] + 0.1 * rng.normal(size=n)
        if mixed_kinds and k == 1:
            y = np.array(["u", "v", "w"], dtype=object)[np.arange(n) % 3]
        tables[f"t{k}"] = (X, y)
    return TaskData.from_dict(tables)


def wide(n: int = 100, q: int = 3, seed: int = 0, noise: float = 0.3) -> TaskData:
    """Complete regression targets with a common signal."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    Y = np.tanh(X @ rng.normal(size=(4, 2))) @ rng.normal(size=(2, q)) + noise * rng.normal(size=(n, q))
    return TaskData.from_wide(X, Y)
