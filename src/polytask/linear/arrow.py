"""The one place that reads Parquet and Arrow files: batches of rows as arrays of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from polytask.data.frames import suggest
from polytask.errors import DataError, MissingPackageError, SettingError

#: X (m, p) in the order of its columns, Y (m, k), weights and tasks (m,) or None.
Chunk = tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]


class _Batch(NamedTuple):
    """A record batch, the columns that its folder's name stands for, and where it is from."""

    content: Any
    constants: dict[str, Any]
    fragment: Any
    first_row: int


def chunks_of_files(
    source: Any,
    features: Sequence[str],
    targets: Sequence[str],
    weight: str | None,
    task: str | None,
    batch_rows: int,
) -> Iterator[Chunk]:
    """Chunks of batch_rows rows as `MomentsAccumulator.partial_fit` takes them; see `Moments.from_parquet`."""
    if task is not None and len(targets) != 1:
        raise SettingError(f"With a task column there is one target column, got {len(targets)}.")
    if batch_rows < 1:
        raise SettingError(f"batch_rows={batch_rows}: at least one row must be read at a time.")
    _check_names(features, targets, weight, task)
    weights, tasks = ([weight] if weight else []), ([task] if task else [])
    numeric = [*features, *targets, *weights]
    columns = list(dict.fromkeys([*numeric, *tasks]))
    # Small row groups give small batches, which are put together: every chunk costs sums of p² numbers.
    waiting: list[Chunk] = []
    for batch in _batches(source, columns, numeric, batch_rows):
        waiting.append(_chunk(batch, features, targets, weights, task))
        if sum(len(chunk[1]) for chunk in waiting) >= batch_rows:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _check_names(
    features: Sequence[str], targets: Sequence[str], weight: str | None, task: str | None
) -> None:
    """Refuse lists of columns that are empty or no lists, and columns named twice."""
    for what, names in (("features", features), ("targets", targets)):
        if isinstance(names, str):
            raise SettingError(f"{what}={names!r} must be a list of column names: write [{names!r}].")
        if not len(names):
            raise SettingError(f"{what} is empty; name at least one column.")
    parts = {"a feature": features, "a target": targets, "the weight": [weight] if weight else []}
    parts["the task"] = [task] if task else []
    meaning: dict[str, str] = {}
    for part, names in parts.items():
        for name in names:
            if name in meaning:
                twice = f"{part} twice" if meaning[name] == part else f"both {meaning[name]} and {part}"
                raise SettingError(f"Column '{name}' is named as {twice}; name it once.")
            meaning[name] = part


def _batches(source: Any, columns: list[str], numeric: list[str], batch_rows: int) -> Iterator[_Batch]:
    try:
        import pyarrow.dataset as ds
    except ImportError:
        raise MissingPackageError(
            "Moments.from_parquet needs pyarrow: pip install 'polytask[arrow]', or pip install pyarrow."
        ) from None
    if isinstance(source, ds.Dataset):
        _check_columns(source.schema, columns, numeric, "the dataset")
        yield from _batches_of_dataset(source, columns, batch_rows)
        return
    dataset = _discover(source)
    _check_columns(dataset.schema, columns, numeric, f"'{source}'")
    for fragment in dataset.get_fragments():
        yield from _batches_of_file(fragment, columns, numeric, batch_rows)


def _discover(source: Any) -> Any:
    """The Parquet files of a file, a folder or a list."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    paths = [str(path) for path in source] if isinstance(source, (list, tuple)) else str(source)
    for path in paths if isinstance(paths, list) else [paths]:
        if not Path(path).exists():
            raise DataError(f"There is no file or folder '{path}'.")
    try:
        dataset = ds.dataset(paths, format="parquet", partitioning="hive")
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"'{source}' can't be read as Parquet ({error}). For other formats pass a pyarrow.dataset.Dataset."
        ) from None
    if not dataset.files:
        raise DataError(f"'{source}' holds no Parquet file.")
    return dataset


def _batches_of_file(
    fragment: Any, columns: list[str], numeric: list[str], batch_rows: int
) -> Iterator[_Batch]:
    """Batches of one Parquet file, of which no more than a batch is in memory, however large its row groups."""
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    constants = ds.get_partition_keys(fragment.partition_expression)
    stored = [name for name in columns if name not in constants]
    with fragment.filesystem.open_input_file(fragment.path) as handle:
        # Threads and reading ahead would hold whole row groups.
        file = pq.ParquetFile(handle, pre_buffer=False, buffer_size=2**16)
        _check_columns(file.schema_arrow, stored, [name for name in numeric if name in stored], fragment.path)
        row = 0
        for batch in file.iter_batches(batch_rows, columns=stored, use_threads=False):
            yield _Batch(batch, constants, fragment, row)
            row += batch.num_rows


def _batches_of_dataset(dataset: Any, columns: list[str], batch_rows: int) -> Iterator[_Batch]:
    """Batches of a dataset of any format, filters included; its row groups should fit into memory."""
    scanner = dataset.scanner(columns=columns, batch_size=batch_rows, batch_readahead=1, fragment_readahead=1)
    row, last = 0, None
    for tagged in scanner.scan_batches():
        row = row if tagged.fragment is last else 0
        yield _Batch(tagged.record_batch, {}, tagged.fragment, row)
        row, last = row + tagged.record_batch.num_rows, tagged.fragment


def _check_columns(schema: Any, columns: list[str], numeric: list[str], place: str) -> None:
    import pyarrow.types as kinds

    for name in columns:
        if name not in schema.names:
            raise DataError(f"There is no column '{name}' in {place}.{suggest(name, list(schema.names))}")
    numbers = (kinds.is_integer, kinds.is_floating, kinds.is_boolean, kinds.is_decimal)
    for name in numeric:
        kind = schema.field(name).type
        if not any(is_kind(kind) for is_kind in numbers):
            raise DataError(
                f"Column '{name}' of {place} holds {kind}, not numbers: encode it or leave it out."
            )


def _chunk(
    batch: _Batch, features: Sequence[str], targets: Sequence[str], weights: list[str], task: str | None
) -> Chunk:
    X, w = _numbers(batch, features), _numbers(batch, weights)
    _check_complete(X, features, batch)
    _check_complete(w, weights, batch)
    return X, _numbers(batch, targets), w[:, 0] if weights else None, _tasks(batch, task) if task else None


def _numbers(batch: _Batch, names: Sequence[str]) -> np.ndarray:
    """Columns (m, k) of a batch, one after the other in memory as Arrow holds them; null becomes NaN."""
    import pyarrow as pa

    table = np.empty((len(names), batch.content.num_rows))
    for row, name in zip(table, names):
        if name in batch.constants:
            row[:] = batch.constants[name]
        else:
            row[:] = batch.content.column(name).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return table.T


def _tasks(batch: _Batch, name: str) -> np.ndarray:
    if name in batch.constants:
        return np.full(batch.content.num_rows, batch.constants[name])
    return batch.content.column(name).to_numpy(zero_copy_only=False)


def _joined(chunks: list[Chunk]) -> Chunk:
    if len(chunks) == 1:
        return chunks[0]
    X, Y, weight, task = zip(*chunks)
    return (
        np.concatenate([part.T for part in X], axis=1).T,
        np.concatenate(Y),
        None if weight[0] is None else np.concatenate(weight),
        None if task[0] is None else np.concatenate(task),
    )


def _check_complete(table: np.ndarray, names: Sequence[str], batch: _Batch) -> None:
    # A sum that is finite has finite terms; the culprit is looked for only where it is not.
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(table.sum()):
            return
    bad = ~np.isfinite(table)
    for column in np.flatnonzero(bad.any(axis=0)).tolist():
        row = batch.first_row + int(np.flatnonzero(bad[:, column])[0])
        raise DataError(
            f"Column '{names[column]}' is null, NaN or infinite in {_place(batch.fragment, row)}: fill it in or "
            "leave the row out. Only targets may be missing."
        )


def _place(fragment: Any, row: int) -> str:
    """Where a row of a fragment is, for error messages."""
    path = getattr(fragment, "path", "") or "the dataset"
    if not hasattr(fragment, "row_groups"):
        return f"row {row} of {path}"
    ends = np.cumsum([group.num_rows for group in fragment.row_groups])
    return f"row {row}, row group {int(np.searchsorted(ends, row, side='right'))}, of {path}"
