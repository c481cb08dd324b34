"""Moments: all that squared-loss models need to know of the data.

Weighted sums of products about the means, per pattern of labelled rows (see `patterns`). They add up over
parts of the data and can be taken apart again, so cross-validation folds and rolling windows cost p² each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg.blas import dger

from polytask.errors import DataError
from polytask.linear.accumulate import moments_from_chunks
from polytask.linear.centring import centred_sums, check_finite, two_sum
from polytask.linear.chunks import chunk_table
from polytask.linear.moments_file import load_moments, save_moments
from polytask.linear.partialling import PartialledOut, partial_out
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
    n_rows : (P,) int array
        Number of a pattern's rows.
    x_mean : (P, p) array
        Weighted feature means.
    gram : (P, p, p) array
        Σ w (x − x̄)(x − x̄)ᵀ.
    y_mean : (q,) array
        Weighted target means.
    x_rest, y_rest : (P, p), (q,) arrays
        What rounding took from the means. A column of mean 1e8 and deviation 1e-2 needs it: the products of
        two parts are off by as much as the difference of their means is.
    xty : (q, p) array
        Σ w (x − x̄)(y − ȳ).
    target_gram : (q, q) array
        Σ w (y_s − ȳ_s)(y_t − ȳ_t) of tasks of one pattern, 0 between tasks of different patterns.
    pattern : (q,) int array
        The pattern of each task.
    task_names : tuple of q str
    feature_names : tuple of p str or None
        None: the features have no names.
    """

    weight: np.ndarray
    n_rows: np.ndarray
    x_mean: np.ndarray
    x_rest: np.ndarray
    gram: np.ndarray
    y_mean: np.ndarray
    y_rest: np.ndarray
    xty: np.ndarray
    target_gram: np.ndarray
    pattern: np.ndarray
    task_names: tuple[str, ...]
    feature_names: tuple[str, ...] | None = None

    @classmethod
    def from_arrays(
        cls,
        X: Any,
        Y: Any,
        sample_weight: Any = None,
        *,
        task_names: Sequence[str] | None = None,
    ) -> Moments:
        """Moments of one table of features and one of targets.

        Parameters
        ----------
        X : (n, p) array, frame or sparse matrix
            Finite numbers.
        Y : (n,) or (n, q) array or frame
            NaN = missing label.
        sample_weight : (n,) array or None
            Non-negative.
        task_names : sequence of q str or None
            None takes the columns of a frame, or y0, y1, …

        Raises
        ------
        DataError
            For features that are not finite, negative weights and numbers of rows that don't match.
        """
        if task_names is not None:
            Y = np.asarray(Y)
        names = None if task_names is None else tuple(task_names)
        table, feature_names = chunk_table(X, Y, sample_weight, task_names=names)
        return cls.from_table(table, feature_names=feature_names)

    @classmethod
    def from_task_data(cls, data: TaskData) -> Moments:
        """Moments of a `TaskData` with numeric features; its tasks may have their own rows."""
        return cls.from_table(LabelledTable.from_task_data(data))

    @classmethod
    def from_table(
        cls,
        table: LabelledTable,
        *,
        feature_names: tuple[str, ...] | None = None,
        out: np.ndarray | None = None,
    ) -> Moments:
        """Moments of a labelled table.

        Parameters
        ----------
        table : LabelledTable
        feature_names : tuple of p str or None
        out : (P, p, p) array of zeros in C order, or None
            Becomes `gram`; for callers that hold the Grams of many parts in one piece of memory.
        """
        X, patterns, names = table.X, table.patterns, table.task_names
        n_tasks, n_features = len(names), X.shape[1]
        y_mean, y_rest, pattern = np.zeros(n_tasks), np.zeros(n_tasks), np.zeros(n_tasks, dtype=np.int64)
        xty, target_gram = np.zeros((n_tasks, n_features)), np.zeros((n_tasks, n_tasks))
        weight, x_mean = np.zeros(len(patterns)), np.zeros((len(patterns), n_features))
        x_rest = np.zeros_like(x_mean)
        n_rows = np.array([len(labels.rows) for labels in patterns], dtype=np.int64)
        gram = np.zeros((len(patterns), n_features, n_features)) if out is None else out
        for index, labels in enumerate(patterns):
            sums = centred_sums(X, labels, gram[index])
            check_finite(X, labels, sums, names, feature_names)
            weight[index], x_mean[index], x_rest[index] = sums.weight, sums.x_mean, sums.x_rest
            y_mean[labels.tasks], y_rest[labels.tasks] = sums.y_mean, sums.y_rest
            xty[labels.tasks] = sums.xty
            target_gram[np.ix_(labels.tasks, labels.tasks)] = sums.target_gram
            pattern[labels.tasks] = index
        return cls(
            weight, n_rows, x_mean, x_rest, gram, y_mean, y_rest, xty, target_gram, pattern, names,
            feature_names,
        )  # fmt: skip

    @classmethod
    def from_chunks(cls, chunks: Iterable[Any], *, task_names: Sequence[str] | None = None) -> Moments:
        """Moments of data that come in chunks of rows, none of which is kept; see `MomentsAccumulator`.

        Parameters
        ----------
        chunks : iterable
            Of tuples (X, Y), (X, Y, sample_weight) or (X, y, sample_weight, task), with task the task of each
            row; or of mappings of task to (X, y) or (X, y, weight); or of `TaskData`.
        task_names : sequence of str or None
            None takes those that the chunks bring.
        """
        return moments_from_chunks(chunks, task_names)

    @classmethod
    def from_parquet(
        cls,
        source: Any,
        *,
        features: Sequence[str],
        targets: Sequence[str],
        weight: str | None = None,
        task: str | None = None,
        batch_rows: int = 16_384,
    ) -> Moments:
        """Moments of Parquet or Arrow files of any size, read in batches; needs pyarrow.

        Parameters
        ----------
        source : path, list of paths, or pyarrow Dataset
            A file, a folder of files, or several.
        features, targets : sequence of column names
            A null target is a missing label; a null feature is an error.
        weight : column name or None
            Of non-negative weights.
        task : column name or None
            The task of each row; there is then a single target.
        batch_rows : int
            Rows in memory at a time.

        Raises
        ------
        DataError
            For columns that are absent, not numeric, or null, naming the column, the file and the row group.
        MissingPackageError
            Without pyarrow.
        """
        from polytask.linear.arrow import chunks_of_files

        columns = chunks_of_files(source, features, targets, weight, task, batch_rows)
        moments = moments_from_chunks(columns, None if task else targets)
        return replace(moments, feature_names=tuple(features))

    @classmethod
    def from_dask(
        cls,
        X: Any,
        Y: Any,
        sample_weight: Any = None,
        *,
        task: Any = None,
        task_names: Sequence[str] | None = None,
    ) -> Moments:
        """Moments of Dask collections, computed where their blocks are; needs dask.

        Parameters
        ----------
        X : (n, p) dask array or data frame
        Y : (n,) or (n, q) dask array, series or data frame
            NaN = missing label. Blocks of rows as those of X.
        sample_weight, task : (n,) dask array or series, optional
            Weights, and the task of each row.
        task_names : sequence of str or None

        Raises
        ------
        DataError
            If the blocks of rows do not match.
        MissingPackageError
            Without dask.

        Notes
        -----
        Every block of rows becomes moments on the worker that holds it, and these are added in a tree: p² numbers
        per block travel, never rows. The client that is active, if any, decides where. Cut X and Y from one
        collection: its blocks are then made once, in one place. Columns that are not needed are not left out on
        reading unless the collection was made without them (``read_parquet(..., columns=...)``).
        """
        from polytask.linear.dask import moments_of_collections

        return moments_of_collections(X, Y, sample_weight, task, task_names)

    @classmethod
    def load(cls, path: Path | str) -> Moments:
        """Moments that `save` wrote."""
        return load_moments(cls, path)

    def save(self, path: Path | str) -> None:
        """Write to one safetensors file, which holds numbers and names and no code."""
        save_moments(self, path)

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
    def task_x_mean(self) -> np.ndarray:
        """(q, p) feature means over each task's labels."""
        return self.x_mean[self.pattern]

    @property
    def n_labels(self) -> np.ndarray:
        """(q,) number of labels of each task, whatever their weights."""
        return self.n_rows[self.pattern]

    @property
    def yty(self) -> np.ndarray:
        """(q,) Σ w (y − ȳ)² of each task."""
        return self.target_gram.diagonal().copy()

    @property
    def same_pattern(self) -> np.ndarray:
        """(q, q) bool: whether two tasks share their labelled rows and weights."""
        return self.pattern[:, None] == self.pattern

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
        return replace(
            self,
            weight=self.weight[used], n_rows=self.n_rows[used],
            x_mean=self.x_mean[used], x_rest=self.x_rest[used], gram=self.gram[used],
            y_mean=self.y_mean[chosen], y_rest=self.y_rest[chosen], xty=self.xty[chosen],
            target_gram=self.target_gram[np.ix_(chosen, chosen)], pattern=pattern, task_names=names,
        )  # fmt: skip

    def scaled(self, x_scale: np.ndarray, y_scale: np.ndarray) -> Moments:
        """The moments of X / x_scale and Y / y_scale, with x_scale (p,) and y_scale (q,)."""
        return replace(
            self,
            x_mean=self.x_mean / x_scale,
            x_rest=self.x_rest / x_scale,
            gram=self.gram / np.outer(x_scale, x_scale),
            y_mean=self.y_mean / y_scale,
            y_rest=self.y_rest / y_scale,
            xty=self.xty / np.outer(y_scale, x_scale),
            target_gram=self.target_gram / np.outer(y_scale, y_scale),
        )

    def about_zero(self) -> Moments:
        """Sums of products about zero instead of the means, for models without intercept."""
        x_mean, weight = self.x_mean[self.pattern], self.task_weight
        return replace(
            self,
            gram=self.gram + self.weight[:, None, None] * self.x_mean[:, :, None] * self.x_mean[:, None, :],
            xty=self.xty + (weight * self.y_mean)[:, None] * x_mean,
            target_gram=self.target_gram + self.same_pattern * np.outer(weight * self.y_mean, self.y_mean),
            x_mean=np.zeros_like(self.x_mean),
            x_rest=np.zeros_like(self.x_rest),
            y_mean=np.zeros_like(self.y_mean),
            y_rest=np.zeros_like(self.y_rest),
        )

    def partial_out(self, features: np.ndarray) -> PartialledOut:
        """The problem that is left when some features, unpenalised as intercepts are, are profiled out.

        Parameters
        ----------
        features : (p,) bool array, or (u,) int array

        Returns
        -------
        PartialledOut
            Its `moments` are those of the other features; its `recover` gives the coefficients of all.
        """
        return partial_out(self, features)

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
        error = np.empty(intercept.shape)
        for index, (weight, gram) in enumerate(zip(self.weight, self.gram)):
            tasks = np.flatnonzero(self.pattern == index)
            part = coef if len(self.weight) == 1 else coef[..., tasks, :]
            # One product of matrices, not one per grid point.
            image = (part.reshape(-1, self.n_features) @ gram).reshape(part.shape)
            image -= 2 * self.xty[tasks]
            bias = self.y_mean[tasks] - intercept[..., tasks] - part @ self.x_mean[index]
            error[..., tasks] = np.einsum("...tj,...tj->...t", image, part) + weight * bias**2
        error += self.yty
        return np.maximum(error, 0.0)

    def __add__(self, other: Moments) -> Moments:
        """Moments of both parts together (Chan, Golub & LeVeque 1983)."""
        return self.plus(other)

    def plus(self, other: Moments, *, out: np.ndarray | None = None) -> Moments:
        """Moments of both parts together.

        Parameters
        ----------
        other : Moments
        out : (P, p, p) array in C order, or None
            Becomes `gram` if the shape fits; it may be that of either part.
        """
        return self._combined(other, 1.0, out)

    def __sub__(self, other: Moments) -> Moments:
        """Moments of what is left when the rows of `other`, a part of these, are taken away."""
        rest = self._combined(other, -1.0)
        if np.any(rest.weight < 0):
            raise DataError(
                "Moments can only be subtracted from moments that contain them, but the part has more weight "
                f"({other.task_weight.sum():g}) than the whole ({self.task_weight.sum():g}) in some task."
            )
        before = np.zeros_like(rest.x_mean)
        before[rest.pattern] = np.einsum("gjj->gj", self.gram)[self.pattern]
        return rest.without_rounding_error(before, self.yty)

    def _combined(self, other: Moments, sign: float, out: np.ndarray | None = None) -> Moments:
        self._check_same_problem(other)
        # Tasks that share a Gram on both sides share it in the result.
        if len(self.weight) == len(other.weight) == 1:
            left, right, pattern = np.zeros(1, np.int64), np.zeros(1, np.int64), self.pattern
        else:
            pairs, pattern = np.unique(np.stack([self.pattern, other.pattern]), axis=1, return_inverse=True)
            (left, right), pattern = pairs, pattern.ravel()
        weight = self.weight[left] + sign * other.weight[right]
        weight[np.abs(weight) <= _LOST * self.weight[left]] = 0.0
        share = np.divide(sign * other.weight[right], weight, out=np.zeros_like(weight), where=weight > 0)
        shift, x_mean, x_rest = _moved(
            (self.x_mean[left], self.x_rest[left]), (other.x_mean[right], other.x_rest[right]), share[:, None]
        )
        factor = self.weight[left] * share
        gram = _signed_sum(_rows(self.gram, left), _rows(other.gram, right), sign, out)
        for moved, f, step in zip(gram, factor, shift):
            if f and step.any():
                dger(f, step, step, a=moved.T, overwrite_a=True)
        task_share, task_factor = share[pattern], factor[pattern]
        y_shift, y_mean, y_rest = _moved((self.y_mean, self.y_rest), (other.y_mean, other.y_rest), task_share)
        target_gram = self.target_gram + sign * other.target_gram + np.outer(task_factor * y_shift, y_shift)
        return Moments(
            weight=weight,
            n_rows=np.maximum(self.n_rows[left] + int(sign) * other.n_rows[right], 0),
            x_mean=x_mean,
            x_rest=x_rest,
            gram=gram,
            y_mean=y_mean,
            y_rest=y_rest,
            xty=self.xty + sign * other.xty + (task_factor * y_shift)[:, None] * shift[pattern],
            target_gram=target_gram * (pattern[:, None] == pattern),
            pattern=pattern,
            task_names=self.task_names,
            feature_names=self.feature_names if self.feature_names is not None else other.feature_names,
        )

    def without_rounding_error(self, x_before: np.ndarray, y_before: np.ndarray) -> Moments:
        """Set to zero what cancellation left of empty patterns and of features or targets without variance.

        Parameters
        ----------
        x_before : (P, p) array
            The diagonals of the Grams that something was subtracted from.
        y_before : (q,) array
            The same of the targets.
        """
        alive = (np.einsum("gjj->gj", self.gram) > _LOST * x_before) & (self.weight > 0)[:, None]
        varied = (self.task_weight > 0) & (self.yty > _LOST * y_before)
        return replace(
            self,
            gram=self.gram * alive[:, :, None] * alive[:, None, :],
            xty=self.xty * alive[self.pattern] * varied[:, None],
            target_gram=self.target_gram * np.outer(varied, varied),
        )

    def _mean_over_labels(self, per_pattern: np.ndarray) -> np.ndarray:
        labels = np.bincount(self.pattern, minlength=len(self.weight))
        total = float(labels @ self.weight)
        return labels @ per_pattern / (total if total > 0 else 1.0)

    def _position(self, task: int | str) -> int:
        if not isinstance(task, str) and -self.n_tasks <= task < self.n_tasks:
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
        if self.feature_names is None or other.feature_names is None:
            return
        for position, (name, theirs) in enumerate(zip(self.feature_names, other.feature_names)):
            if name != theirs:
                raise DataError(
                    f"Feature {position} is '{name}' in one part and '{theirs}' in the other: moments are "
                    "combined of the same columns in the same order."
                )


Mean = tuple[np.ndarray, np.ndarray]


def _moved(mean: Mean, other: Mean, share: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The step from one mean to another, and the mean (with its rest) that is a share of the way."""
    shift = (other[0] - mean[0]) + (other[1] - mean[1])
    arrived = share == 1
    moved, rest = two_sum(mean[0], mean[1] + share * shift)
    return shift, np.where(arrived, other[0], moved), np.where(arrived, other[1], rest)


def _rows(table: np.ndarray, index: np.ndarray) -> np.ndarray:
    """The rows of a table by index, without copying when these are all of them."""
    return table if np.array_equal(index, np.arange(len(table))) else table[index]


def _signed_sum(left: np.ndarray, right: np.ndarray, sign: float, out: np.ndarray | None) -> np.ndarray:
    """left ± right in C order, which updates in place rely on."""
    out = out if out is not None and out.shape == left.shape else np.empty(left.shape)
    return np.add(left, right, out=out) if sign > 0 else np.subtract(left, right, out=out)
