"""The linear models that benchmarks compare, with their penalties chosen inside the training rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeCV

from polytask import linear


class PooledRidge:
    """One ridge regression for the rows of all tasks, with one intercept: full sharing."""

    def __init__(self, alphas: np.ndarray) -> None:
        self.alphas = alphas

    def fit(self, tables: dict[str, tuple[np.ndarray, np.ndarray]]) -> PooledRidge:
        X = np.vstack([X for X, _ in tables.values()])
        y = np.concatenate([y for _, y in tables.values()])
        self.model = RidgeCV(self.alphas).fit(X, y)
        self.task_names_ = tuple(tables)
        return self

    def predict_tasks(self, X: np.ndarray, rows: Any) -> dict[str, np.ndarray]:
        return {name: self.model.predict(X if r is None else X[r]) for name, r in rows.items()}


def regressors(n_alphas: int = 20, **common: Any) -> dict[str, Callable[[], Any]]:
    """Makers of every model, by the name that results carry; `common` goes to each."""

    def of(name: str, **settings: Any) -> Callable[[], Any]:
        levels = {} if name in ("TaskRidgeCV", "MeanRegularizedCV") else {"n_alphas": n_alphas}
        return lambda: getattr(linear, name)(**{**common, **levels, **settings})

    return {
        "per-task ridge": of("TaskRidgeCV"),
        "per-task lasso": of("TaskLassoCV"),
        "per-task elastic net": of("TaskElasticNetCV"),
        "pooled ridge": lambda: PooledRidge(np.geomspace(1e-2, 1e5, 30)),
        "group lasso (L1/L2)": of("GroupLassoCV"),
        "group elastic net": of("GroupElasticNetCV"),
        "L1/Linf": of("BlockNormLassoCV", order=np.inf),
        "L1/L1.5": of("BlockNormLassoCV", order=1.5),
        "sparse group": of("SparseGroupLassoCV"),
        "group MCP": of("GroupMCPCV"),
        "group SCAD": of("GroupSCADCV"),
        "mean-regularized": of("MeanRegularizedCV"),
        "graph (complete)": of("GraphRegularizedCV", graph="complete"),
        "fused (chain)": of("FusedTasksCV"),
        "convex clustered": of("ConvexClusteredCV"),
        "trace norm": of("TraceNormCV"),
        "reduced rank": of("ReducedRankCV"),
        "dirty model": of("DirtyModelCV"),
        "robust tasks": of("RobustTasksCV"),
        "robust features": of("RobustFeaturesCV"),
        "MTRL": of("MTRLCV"),
        "MRCE": of("MRCECV"),
        "MrRCE": of("MrRCECV"),
    }


#: Models whose errors live on rows that all tasks share.
SHARED_ROWS_ONLY = ("MRCE", "MrRCE")
