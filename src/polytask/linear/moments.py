"""Moments: all that squared-loss models need to know of the data.

Weighted sums of products about the means, per pattern of labelled rows (see `patterns`). They add up over
parts of the data and can be taken apart again, so cross-validation folds and rolling windows cost p² each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from polytask.errors import DataError
from polytask.linear.centring import centred_sums
from polytask.linear.table import LabelledTable

if TYPE_CHECKING:
    from polytask.data import TaskData

#: What is left of a feature's variance after a subtraction is rounding error below this share of it.
_LOST = 1e-12


@dataclass(frozen=True)
class Moments:
    """Weighted means and centred sums of products of q tasks on p features.

    Tasks with the same labelled rows and weights share one of the P patterns.

    Attributes
    ----------
    weight : (P,) array
        Total weight of a pattern's rows.
    x_mean : (P, p) array
        Weighted feature means.
    gram : (P, p, p) array
        Σ w (x − x̄)(x − x̄)ᵀ.
    y_mean, yty : (q,) arrays
        Weighted target means; Σ w (y − ȳ)².
    xty : (q, p) array
        Σ w (x − x̄)(y − ȳ).
    pattern : (q,) int array
        The pattern of each task.
    task_names : tuple of str
    """

    weight: np.ndarray
    x_mean: np.ndarray
    gram: np.ndarray
    y_mean: np.ndarray
    xty: np.ndarray
    yty: np.ndarray
    pattern: np.ndarray
    task_names: tuple[str, ...]

    @classmethod
    def from_arrays(
        cls,
        X: np.ndarray | sparse.csr_matrix,
        Y: np.ndarray,
        sample_weight: np.ndarray | None = None,
        *,
        task_names: Sequence[str] | None = None,
    ) -> Moments:
        """Moments of one table of features and one of targets.

        Parameters
        ----------
        X : (n, p) array or CSR matrix
            Finite numbers.
        Y : (n,) or (n, q) array
            NaN = missing label.
        sample_weight : (n,) array or None
            Non-negative.
        task_names : sequence of q str or None
            None names them y0, y1, …
        """
        return cls.from_table(LabelledTable.from_arrays(X, Y, sample_weight, task_names=task_names))

    @classmethod
    def from_task_data(cls, data: TaskData) -> Moments:
        """Moments of a `TaskData` with numeric features; its tasks may have their own rows."""
        return cls.from_table(LabelledTable.from_task_data(data))

    @classmethod
    def from_table(cls, table: LabelledTable) -> Moments:
        """Moments of a labelled table."""
        X, patterns, names = table.X, table.patterns, table.task_names
        n_tasks, n_features = len(names), X.shape[1]
        y_mean, yty, pattern = np.zeros(n_tasks), np.zeros(n_tasks), np.zeros(n_tasks, dtype=np.int64)
        xty = np.zeros((n_tasks, n_features))
        weight, x_mean = np.zeros(len(patterns)), np.zeros((len(patterns), n_features))
        gram = np.zeros((len(patterns), n_features, n_features))
        for index, labels in enumerate(patterns):
            sums = centred_sums(X, labels)
            weight[index], x_mean[index], gram[index] = sums.weight, sums.x_mean, sums.gram
            y_mean[labels.tasks], xty[labels.tasks], yty[labels.tasks] = sums.y_mean, sums.xty, sums.yty
            pattern[labels.tasks] = index
        return cls(weight, x_mean, gram, y_mean, xty, yty, pattern, names)

    @property
    def n_tasks(self) -> int:
        return len(self.y_mean)

    @property
    def n_features(self) -> int:
        return self.x_mean.shape[1]

    @property
    def task_weight(self) -> np.ndarray:
        """(q,) total weight of each task's labels."""
        return self.weight[self.pattern]

    @property
    def variance(self) -> np.ndarray:
        """(p,) variance of each feature within tasks, averaged over all labels."""
        return self._mean_over_labels(np.einsum("gjj->gj", self.gram))

    @property
    def target_variance(self) -> np.ndarray:
        """(q,) variance of each target."""
        return self.yty / np.where(self.task_weight > 0, self.task_weight, 1.0)

    def select(self, tasks: Iterable[int | str]) -> Moments:
        """The moments of some tasks, by position or name, in the order given."""
        chosen = np.array([self._position(task) for task in tasks], dtype=np.int64)
        used, pattern = np.unique(self.pattern[chosen], return_inverse=True)
        names = tuple(self.task_names[task] for task in chosen)
        return Moments(
            self.weight[used], self.x_mean[used], self.gram[used],
            self.y_mean[chosen], self.xty[chosen], self.yty[chosen], pattern, names,
        )  # fmt: skip

    def scaled(self, x_scale: np.ndarray, y_scale: np.ndarray) -> Moments:
        """The moments of X / x_scale and Y / y_scale, with x_scale (p,) and y_scale (q,)."""
        return replace(
            self,
            x_mean=self.x_mean / x_scale,
            gram=self.gram / np.outer(x_scale, x_scale),
            y_mean=self.y_mean / y_scale,
            xty=self.xty / np.outer(y_scale, x_scale),
            yty=self.yty / y_scale**2,
        )

    def about_zero(self) -> Moments:
        """Sums of products about zero instead of the means, for models without intercept."""
        x_mean, weight = self.x_mean[self.pattern], self.task_weight
        return replace(
            self,
            gram=self.gram + self.weight[:, None, None] * self.x_mean[:, :, None] * self.x_mean[:, None, :],
            xty=self.xty + (weight * self.y_mean)[:, None] * x_mean,
            yty=self.yty + weight * self.y_mean**2,
            x_mean=np.zeros_like(self.x_mean),
            y_mean=np.zeros_like(self.y_mean),
        )

    def squared_error(self, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """Σ w (y − intercept − x·coef)² of these data, without the data.

        Parameters
        ----------
        coef : (..., q, p) array
        intercept : (..., q) array

        Returns
        -------
        (..., q) array, in squared units of each target.
        """
        bias = self.y_mean - intercept - np.einsum("...tj,tj->...t", coef, self.x_mean[self.pattern])
        error = self.yty - 2 * np.einsum("...tj,tj->...t", coef, self.xty) + self.task_weight * bias**2
        for index in range(len(self.weight)):
            tasks = np.flatnonzero(self.pattern == index)
            part = coef[..., tasks, :]
            error[..., tasks] += np.einsum("...tj,...tj->...t", part @ self.gram[index], part)
        return np.maximum(error, 0.0)

    def __add__(self, other: Moments) -> Moments:
        """Moments of both parts together (Chan, Golub & LeVeque 1983)."""
        return self._combined(other, 1.0)

    def __sub__(self, other: Moments) -> Moments:
        """Moments of what is left when the rows of `other`, a part of these, are taken away."""
        rest = self._combined(other, -1.0)
        if np.any(rest.weight < 0):
            raise DataError(
                "Moments can only be subtracted from moments that contain them, but the part has more weight "
                f"({other.task_weight.sum():g}) than the whole ({self.task_weight.sum():g}) in some task."
            )
        return rest._without_rounding_error(self)

    def _combined(self, other: Moments, sign: float) -> Moments:
        self._check_same_problem(other)
        # Tasks that share a Gram on both sides share it in the result.
        pairs, pattern = np.unique(np.stack([self.pattern, other.pattern]), axis=1, return_inverse=True)
        (left, right), pattern = pairs, pattern.ravel()
        weight = self.weight[left] + sign * other.weight[right]
        weight[np.abs(weight) <= _LOST * self.weight[left]] = 0.0
        share = np.divide(sign * other.weight[right], weight, out=np.zeros_like(weight), where=weight > 0)
        shift = other.x_mean[right] - self.x_mean[left]
        factor = self.weight[left] * share
        task_share, task_factor = share[pattern], factor[pattern]
        y_shift = other.y_mean - self.y_mean
        return Moments(
            weight=weight,
            x_mean=self.x_mean[left] + share[:, None] * shift,
            gram=self.gram[left]
            + sign * other.gram[right]
            + factor[:, None, None] * shift[:, :, None] * shift[:, None, :],
            y_mean=self.y_mean + task_share * y_shift,
            xty=self.xty + sign * other.xty + (task_factor * y_shift)[:, None] * shift[pattern],
            yty=self.yty + sign * other.yty + task_factor * y_shift**2,
            pattern=pattern,
            task_names=self.task_names,
        )

    def _without_rounding_error(self, whole: Moments) -> Moments:
        """Set to zero what cancellation left of empty patterns and of features that became constant."""
        before = np.zeros_like(self.x_mean)
        before[self.pattern] = np.einsum("gjj->gj", whole.gram)[whole.pattern]
        alive = (np.einsum("gjj->gj", self.gram) > _LOST * before) & (self.weight > 0)[:, None]
        return replace(
            self,
            gram=self.gram * alive[:, :, None] * alive[:, None, :],
            xty=self.xty * alive[self.pattern],
            yty=np.where((self.task_weight > 0) & (self.yty > _LOST * whole.yty), self.yty, 0.0),
        )

    def _mean_over_labels(self, per_pattern: np.ndarray) -> np.ndarray:
        labels = np.bincount(self.pattern, minlength=len(self.weight))
        total = float(labels @ self.weight)
        return labels @ per_pattern / (total if total > 0 else 1.0)

    def _position(self, task: int | str) -> int:
        if not isinstance(task, str):
            return int(task)
        if task not in self.task_names:
            raise DataError(f"No task named '{task}'; the tasks are {', '.join(self.task_names)}.")
        return self.task_names.index(task)

    def _check_same_problem(self, other: Moments) -> None:
        if self.task_names != other.task_names or self.n_features != other.n_features:
            raise DataError(
                f"Moments of {self.n_features} features and tasks {', '.join(self.task_names)} cannot be "
                f"combined with those of {other.n_features} features and tasks {', '.join(other.task_names)}."
            )
