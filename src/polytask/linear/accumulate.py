"""Moments of data that come in chunks: what was seen is kept as sums, and no row is stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from polytask.errors import DataError
from polytask.linear.chunks import chunk_table

if TYPE_CHECKING:
    from polytask.linear.moments import Moments


class MomentsAccumulator:
    """Adds up the moments of chunks of rows.

    Memory is that of the sums and of one chunk: two tasks share a Gram as long as all their rows and weights
    are the same, and part when a chunk tells them apart. Chunks of about 10 000 rows cost no more time than
    one table.

    Parameters
    ----------
    task_names : sequence of str or None
        None takes the tasks of the first chunk, and, where chunks hold a task per row or a table per task, of
        every new one that a later chunk brings.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> accumulator = MomentsAccumulator()
    >>> for _ in range(3):
    ...     accumulator = accumulator.partial_fit(rng.normal(size=(100, 4)), rng.normal(size=(100, 2)))
    >>> accumulator.moments().n_labels
    array([300, 300])
    """

    def __init__(self, *, task_names: Sequence[str] | None = None) -> None:
        self.task_names = None if task_names is None else tuple(str(name) for name in task_names)
        self.n_chunks = 0
        self._sum: Moments | None = None

    def partial_fit(self, X: Any, Y: Any = None, sample_weight: Any = None, task: Any = None) -> Self:
        """Add a chunk.

        Parameters
        ----------
        X : (n, p) array, frame or sparse matrix; mapping of task to (X, y) or (X, y, weight); or TaskData
            Numbers, single precision too; sums are in double precision. A mapping or TaskData comes alone.
        Y : (n,) or (n, q) array or frame
            NaN = missing label. One column if there is a task per row.
        sample_weight : (n,) array, optional
            Non-negative.
        task : (n,) array, optional
            The task that each row belongs to.

        Returns
        -------
        self

        Raises
        ------
        DataError
            Naming the chunk, and the column or task; the sums stay as they were.
        """
        try:
            part = moments_of_chunk(X, Y, sample_weight, task, self.task_names)
            # Only chunks that hold a task per row or a table per task may bring new ones.
            if self._sum is not None and not (task is not None or Y is None):
                _refuse_unknown(part.task_names, self._sum.task_names)
            self._sum = part if self._sum is None else merged(self._sum, part)
        except DataError as error:
            raise DataError(f"Chunk {self.n_chunks}: {error}") from None
        self.n_chunks += 1
        return self

    def moments(self) -> Moments:
        """The moments of all chunks so far."""
        if self._sum is None:
            raise DataError("No chunk has been added yet: call partial_fit(X, Y) first.")
        return self._sum if self.task_names is None else with_tasks(self._sum, self.task_names)


def moments_of_chunk(
    X: Any, Y: Any, sample_weight: Any = None, task: Any = None, task_names: Sequence[str] | None = None
) -> Moments:
    """The moments of one chunk, whose tasks are among `task_names` unless that is None."""
    from polytask.linear.moments import Moments

    known = None if task_names is None else tuple(task_names)
    table, feature_names = chunk_table(X, Y, sample_weight, task, known)
    if known is not None:
        _refuse_unknown(table.task_names, known)
    return Moments.from_table(table, feature_names=feature_names)


def _refuse_unknown(names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise DataError(f"there is no task named '{name}'; the tasks are {', '.join(known)}.")


def moments_from_chunks(chunks: Iterable[Any], task_names: Sequence[str] | None = None) -> Moments:
    """The moments of an iterable of chunks; see `Moments.from_chunks`."""
    accumulator = MomentsAccumulator(task_names=task_names)
    for chunk in chunks:
        accumulator.partial_fit(*(chunk if isinstance(chunk, tuple) else (chunk,)))
    return accumulator.moments()


def merged(one: Moments, other: Moments) -> Moments:
    """The sum of moments of which each may know tasks that the other doesn't."""
    names = tuple(dict.fromkeys((*one.task_names, *other.task_names)))
    return with_tasks(one, names) + with_tasks(other, names)


def with_tasks(moments: Moments, names: tuple[str, ...]) -> Moments:
    """The same moments among more tasks and in another order; the new tasks have no labels."""
    if moments.task_names == names:
        return moments
    q, p, empty = len(names), moments.n_features, len(moments.weight)
    position = {name: index for index, name in enumerate(names)}
    at = np.array([position[name] for name in moments.task_names], dtype=np.int64)
    y_mean, y_rest, xty, target_gram = np.zeros(q), np.zeros(q), np.zeros((q, p)), np.zeros((q, q))
    y_mean[at], y_rest[at], xty[at] = moments.y_mean, moments.y_rest, moments.xty
    target_gram[np.ix_(at, at)] = moments.target_gram
    pattern = np.full(q, empty)
    pattern[at] = moments.pattern
    blank = [] if len(at) == q else [0]
    return replace(
        moments,
        weight=np.append(moments.weight, blank),
        n_rows=np.append(moments.n_rows, np.array(blank, dtype=np.int64)),
        x_mean=np.concatenate([moments.x_mean, np.zeros((len(blank), p))]),
        x_rest=np.concatenate([moments.x_rest, np.zeros((len(blank), p))]),
        gram=np.concatenate([moments.gram, np.zeros((len(blank), p, p))]),
        y_mean=y_mean, y_rest=y_rest, xty=xty, target_gram=target_gram, pattern=pattern, task_names=names,
    )  # fmt: skip
