"""A numeric feature table with the labels of its tasks: what every linear model is fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

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
