"""The one place that talks to Dask about data: moments of collections, by map and reduce where the blocks are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from polytask.errors import DataError, MissingPackageError
from polytask.linear.accumulate import merged, moments_of_chunk, with_tasks
from polytask.linear.moments import Moments

#: How many moments one task of the reduction adds.
_FAN_IN = 8


def moments_of_collections(
    X: Any, Y: Any, sample_weight: Any = None, task: Any = None, task_names: Sequence[str] | None = None
) -> Moments:
    """Moments of Dask arrays or data frames; see `Moments.from_dask`."""
    try:
        import dask
    except ImportError:
        raise MissingPackageError(
            "Moments.from_dask needs dask: pip install 'polytask[dask]', or pip install 'dask[array,dataframe]'."
        ) from None
    row_blocks = X.chunks[0] if hasattr(X, "chunks") else None
    if Y is None:
        raise DataError("Targets are missing: pass from_dask(X, Y).")
    given = {"X": X, "Y": Y, "sample_weight": sample_weight, "task": task}
    blocks = {
        what: _blocks(collection, what, row_blocks)
        for what, collection in given.items()
        if collection is not None
    }
    _check_counts({what: len(parts) for what, parts in blocks.items()})
    if task_names is None and task is None:
        task_names = _column_names(Y)
    of_block, add = dask.delayed(_moments_of_block, pure=True), dask.delayed(_add, pure=True)
    parts = [
        of_block(index, task_names, list(blocks), *block) for index, block in enumerate(zip(*blocks.values()))
    ]
    while len(parts) > 1:
        parts = [add(parts[start : start + _FAN_IN]) for start in range(0, len(parts), _FAN_IN)]
    (moments,) = dask.compute(parts[0])
    return moments if task_names is None else with_tasks(moments, tuple(task_names))


def _check_counts(counts: dict[str, int]) -> None:
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{what} has {count}" for what, count in counts.items())
        raise DataError(
            f"All collections must have the same blocks of rows, but {found}. Repartition them alike, or cut "
            "them from one collection."
        )


def _column_names(Y: Any) -> tuple[str, ...] | None:
    columns = getattr(Y, "columns", None)
    return None if columns is None else tuple(str(name) for name in columns)


def _blocks(collection: Any, what: str, row_blocks: tuple[Any, ...] | None) -> list[Any]:
    """One delayed table per block of rows."""
    if not hasattr(collection, "to_delayed"):
        raise DataError(f"{what} is a {type(collection).__name__}, not a Dask array or data frame.")
    # Graphs optimised one by one would make a block that X and Y are cut from twice, and on different workers.
    if not hasattr(collection, "chunks"):
        return list(collection.to_delayed(optimize_graph=False))
    known = row_blocks is not None and not any(size != size for size in (*row_blocks, *collection.chunks[0]))
    if known and sum(row_blocks or ()) != collection.shape[0]:
        raise DataError(f"X has {sum(row_blocks or ())} rows, but {what} has {collection.shape[0]}.")
    # Blocks of unknown size can't be cut anew; whether they match is seen when they are computed.
    rows = {0: row_blocks} if known else {}
    whole = collection.rechunk({**rows, **dict.fromkeys(range(1, collection.ndim), -1)})
    return list(whole.to_delayed(optimize_graph=False).ravel())


def _moments_of_block(
    index: int, task_names: Sequence[str] | None, roles: list[str], *tables: Any
) -> Moments:
    try:
        return moments_of_chunk(**dict(zip(roles, tables)), task_names=task_names)
    except DataError as error:
        raise DataError(f"Block {index} of rows: {error}") from None


def _add(parts: list[Moments]) -> Moments:
    return reduce(merged, parts)
