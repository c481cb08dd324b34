"""A numeric feature table with the labels of its tasks: what every linear model is fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from polytask.linear.centring import column_sums
from polytask.linear.patterns import LabelPattern, patterns_from_arrays, patterns_from_task_data

if TYPE_CHECKING:
    from polytask.data import TaskData


@dataclass(frozen=True)
class LabelledTable:
    """Features and labels grouped by pattern.

    Attributes
    ----------
    X : (n, p) float64 array or CSR matrix
    patterns : tuple of LabelPattern
    task_names : tuple of q str
    own_rows : bool
        Each row belongs to one task, so folds must be cut within tasks.
    groups, time : (n,) array or None
        Rows of one group stay in one fold; time orders rows.
    """

    X: np.ndarray | sparse.csr_matrix
    patterns: tuple[LabelPattern, ...]
    task_names: tuple[str, ...]
    own_rows: bool = False
    groups: np.ndarray | None = None
    time: np.ndarray | None = None

    @classmethod
    def from_arrays(
        cls,
        X: np.ndarray | sparse.csr_matrix,
        Y: np.ndarray,
        sample_weight: np.ndarray | None = None,
        *,
        task_names: Sequence[str] | None = None,
    ) -> LabelledTable:
        """One table of features (n, p) and one of targets (n,) or (n, q), NaN = missing."""
        Y = np.asarray(Y, dtype=float)
        Y = Y[:, None] if Y.ndim == 1 else Y
        names = default_task_names(Y.shape[1]) if task_names is None else tuple(task_names)
        return cls(as_table(X), tuple(patterns_from_arrays(Y, sample_weight)), names)

    @classmethod
    def from_long(
        cls,
        X: np.ndarray | sparse.csr_matrix,
        y: np.ndarray,
        row_task: np.ndarray,
        sample_weight: np.ndarray | None = None,
        *,
        task_names: Sequence[str],
    ) -> LabelledTable:
        """Features (n, p) and targets (n,) of rows that belong to a task each, row_task (n,) of names."""
        weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        used = ~np.isnan(y) & (weight > 0)
        patterns = []
        for t, name in enumerate(task_names):
            rows = np.flatnonzero(used & (row_task == name))
            patterns.append(LabelPattern(rows, weight[rows], np.array([t]), y[rows, None]))
        return cls(as_table(X), tuple(patterns), tuple(task_names), own_rows=True)

    @classmethod
    def from_task_data(cls, data: TaskData) -> LabelledTable:
        """A `TaskData` with numeric features and one number per label."""
        return cls(
            X=as_table(data.X),
            patterns=tuple(patterns_from_task_data(data)),
            task_names=tuple(data.task_names),
            own_rows=data.form != "wide",
            groups=data.groups,
            time=data.time,
        )

    @property
    def n_rows(self) -> int:
        return self.X.shape[0]

    @property
    def n_features(self) -> int:
        return self.X.shape[1]

    @property
    def n_tasks(self) -> int:
        return len(self.task_names)

    @property
    def task_weight(self) -> np.ndarray:
        """(q,) total weight of each task's labels."""
        return self._per_task(lambda labels: labels.weights.sum(), ())

    @property
    def y_mean(self) -> np.ndarray:
        """(q,) weighted mean of each target."""
        return self._per_task(lambda labels: labels.weights @ labels.targets / labels.weights.sum(), ())

    @property
    def task_x_mean(self) -> np.ndarray:
        """(q, p) feature means over each task's labels."""
        return self._per_task(lambda labels: self._column_sums(labels)[0], (self.n_features,))

    @property
    def variance(self) -> np.ndarray:
        """(p,) variance of each feature within tasks, averaged over all labels."""
        squares = self._per_task(lambda labels: self._column_sums(labels)[1], (self.n_features,))
        total = float(self.task_weight.sum())
        return squares.sum(axis=0) / (total if total > 0 else 1.0)

    @property
    def target_variance(self) -> np.ndarray:
        """(q,) variance of each target."""
        return self._per_task(
            lambda labels: labels.weights @ (labels.targets - np.average(
                labels.targets, axis=0, weights=labels.weights)) ** 2 / labels.weights.sum(), ())  # fmt: skip

    def _per_task(self, of: Callable[[LabelPattern], Any], shape: tuple[int, ...]) -> np.ndarray:
        """A figure of every pattern, given to each of its tasks; zero where a pattern has no rows."""
        out = np.zeros((self.n_tasks, *shape))
        for labels in self.patterns:
            if len(labels.rows):
                out[labels.tasks] = of(labels)
        return out

    def _column_sums(self, labels: LabelPattern) -> tuple[np.ndarray, np.ndarray]:
        """Weighted means (p,) and centred sums of squares (p,) of the features over a pattern's rows."""
        part = self.X if len(labels.rows) == self.n_rows else self.X[labels.rows]
        return column_sums(part, labels.weights)

    def scaled(self, x_scale: np.ndarray, y_scale: np.ndarray) -> LabelledTable:
        """The table of X / x_scale and Y / y_scale, with x_scale (p,) and y_scale (q,)."""
        X = self.X @ sparse.diags(1 / x_scale) if sparse.issparse(self.X) else self.X / x_scale
        patterns = tuple(
            replace(labels, targets=labels.targets / y_scale[labels.tasks]) for labels in self.patterns
        )
        return replace(self, X=X, patterns=patterns)

    def restricted(self, rows: np.ndarray) -> LabelledTable:
        """The same features with only the labels of some rows; rows are indices."""
        keep = np.zeros(self.n_rows, dtype=bool)
        keep[rows] = True
        patterns = tuple(labels.restricted(keep) for labels in self.patterns)
        return LabelledTable(self.X, patterns, self.task_names, self.own_rows, self.groups, self.time)


def as_table(X: object) -> np.ndarray | sparse.csr_matrix:
    """Features as a float64 array, or as CSR when sparse."""
    if sparse.issparse(X):
        return sparse.csr_matrix(X, dtype=float)
    return np.ascontiguousarray(np.asarray(X, dtype=float))


def default_task_names(n_tasks: int) -> tuple[str, ...]:
    """Names for tasks that came without any: y0, y1, …"""
    return tuple(f"y{index}" for index in range(n_tasks))
