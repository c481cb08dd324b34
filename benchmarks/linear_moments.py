"""Moments of more rows than fit into memory: speed next to BLAS, memory, and two Dask workers.

    python benchmarks/linear_moments.py [--quick] [--json FILE] [--only stream parquet dask]

200 features, 20 tasks, numbers in double precision, one thread. Making the rows is timed apart and left out.

- stream: 1e4 to 1e7 rows in chunks of 16 384, each size in a process of its own. After every chunk (every eighth
  beyond a million rows) BLAS is timed on as many rows: `dsyrk` of features and targets side by side, which is the
  least work that the products can be had for, and plain `X.T @ X` and `X.T @ Y`. Shares are of the total times.
  Peak memory is what the process grew by from before its first chunk.
- missing: the same with three patterns of labels.
- parquet: a file of a million rows, read in batches of 16 384.
- dask: blocks of 65 536 rows, made on the workers, on one and on two processes of one thread; the sums must be
  those of the stream. Processor seconds tell what the speed-up is where other jobs share the processors.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg.blas import dsyrk
from threadpoolctl import threadpool_limits

from common import Result, parser
from polytask.linear import Moments
from polytask.linear.accumulate import MomentsAccumulator

N_FEATURES, N_TASKS, CHUNK, BLOCK = 200, 20, 16_384, 65_536


def base_table(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Features with an offset, and targets that depend on them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, N_FEATURES)) + 5
    return X, X @ rng.normal(size=(N_FEATURES, N_TASKS)) + rng.normal(size=(n_rows, N_TASKS))


def shift_of(index: int) -> float:
    """What chunk `index` is away from the base table: chunks differ, and cost one addition a number."""
    return float(index % 7) / 4


def chunks(n_rows: int, missing: bool = False) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    X, Y = base_table(CHUNK)
    if missing:
        Y[::3, : N_TASKS // 3] = np.nan
        Y[1::3, N_TASKS // 3 : N_TASKS // 2] = np.nan
    for index, start in enumerate(range(0, n_rows, CHUNK)):
        size = min(CHUNK, n_rows - start)
        yield X[:size] + shift_of(index), Y[:size] + shift_of(index)


# ---------------------------------------------------------------------- one process


def stream(n_rows: int, missing: bool = False) -> dict[str, float]:
    """Seconds of making rows, of their moments and of BLAS; megabytes that the process grew by."""
    threadpool_limits(1)
    warm = MomentsAccumulator()
    for chunk in chunks(2 * CHUNK, missing):
        warm.partial_fit(*chunk)
    joint = np.hstack(base_table(CHUNK))
    seconds = {"making": 0.0, "moments": 0.0, "dsyrk": 0.0, "plain": 0.0}
    accumulator, timed_rows, every = MomentsAccumulator(), 0, 8 if n_rows > 10**6 else 1
    before = _peak_megabytes()
    last = time.perf_counter()
    for index, (X, Y) in enumerate(chunks(n_rows, missing)):
        seconds["making"] += time.perf_counter() - last
        seconds["moments"] += _seconds(lambda: accumulator.partial_fit(X, Y))  # noqa: B023
        if index % every == 0:
            timed_rows += len(X)
            seconds["dsyrk"] += _seconds(lambda: dsyrk(1.0, joint[: len(X)].T))  # noqa: B023
            seconds["plain"] += _seconds(lambda: (X.T @ X, X.T @ Y))  # noqa: B023
        last = time.perf_counter()
    assert accumulator.moments().n_rows.max() <= n_rows
    for name in ("dsyrk", "plain"):
        seconds[name] *= n_rows / timed_rows
    return {**seconds, "grown": _peak_megabytes() - before}


def parquet(path: str) -> dict[str, float]:
    threadpool_limits(1)
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    names = _names()
    before = _peak_megabytes()
    seconds = _seconds(
        lambda: Moments.from_parquet(path, features=names[0], targets=names[1], batch_rows=CHUNK)
    )
    return {"seconds": seconds, "grown": _peak_megabytes() - before}


def write_parquet(path: Path, n_rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [*_names()[0], *_names()[1]]
    schema = pa.schema([(name, pa.float64()) for name in names])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for X, Y in chunks(n_rows):
            writer.write_table(pa.table(dict(zip(names, np.hstack([X, Y]).T)), schema))


def _names() -> tuple[list[str], list[str]]:
    return [f"x{j}" for j in range(N_FEATURES)], [f"y{k}" for k in range(N_TASKS)]


def _seconds(run: Any) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _apart(function: Any, *arguments: Any) -> Any:
    """In a new process, so that peak memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


# ---------------------------------------------------------------------- Dask


def on_dask(n_rows: int, n_workers: int) -> tuple[float, float, Moments]:
    """Seconds from the call to the sum, processor seconds of the busiest worker, and the sum."""
    from dask.distributed import Client, LocalCluster

    settings: dict[str, Any] = {"processes": True, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        LocalCluster(n_workers=n_workers, silence_logs=50, **settings) as cluster,
        Client(cluster) as client,
    ):
        base = client.scatter(np.hstack(base_table(BLOCK)), broadcast=True)
        for n in (min(n_rows, 10 * BLOCK), n_rows):  # the first call imports, and finds its memory
            table = _blocks(base, n)
            busy, start = client.run(time.process_time), time.perf_counter()
            moments = Moments.from_dask(table[:, :N_FEATURES], table[:, N_FEATURES:])
            seconds = time.perf_counter() - start
            after = client.run(time.process_time)
    return seconds, max(after[worker] - busy[worker] for worker in after), moments


def _blocks(base: Any, n_rows: int) -> Any:
    import dask
    import dask.array as da

    width = N_FEATURES + N_TASKS
    sizes = [min(BLOCK, n_rows - start) for start in range(0, n_rows, BLOCK)]
    make = dask.delayed(lambda table, index, size: table[:size] + (index % 7) / 4, pure=False)
    return da.concatenate(
        [da.from_delayed(make(base, i, size), (size, width), float) for i, size in enumerate(sizes)]
    )


def blocks_one_by_one(n_rows: int) -> Moments:
    X, Y = base_table(BLOCK)
    starts = range(0, n_rows, BLOCK)
    sizes = [min(BLOCK, n_rows - start) for start in starts]
    return Moments.from_chunks((X[:s] + shift_of(i), Y[:s] + shift_of(i)) for i, s in enumerate(sizes))


def largest_difference(one: Moments, other: Moments) -> float:
    """Of the products, relative to the deviations of their columns."""
    x, y = np.sqrt(one.gram[0].diagonal()), np.sqrt(one.yty)
    pairs = (
        ((one.gram - other.gram)[0], np.outer(x, x)),
        (one.xty - other.xty, np.outer(y, x)),
        (one.target_gram - other.target_gram, np.outer(y, y)),
    )
    return max(float(np.abs(difference / scale).max()) for difference, scale in pairs)


# ---------------------------------------------------------------------- the runs


def report_stream(result: Result, sizes: list[int]) -> None:
    runs = {n: _apart(stream, n) for n in sizes}
    for n, run in runs.items():
        result.row(
            "polytask", f"stream, {n:.0e} rows", rows_per_second=n / run["moments"], seconds=run["moments"],
            share_of_dsyrk=run["dsyrk"] / run["moments"], share_of_plain=run["plain"] / run["moments"],
            making_seconds=run["making"], megabytes_grown=run["grown"],
        )  # fmt: skip
    run = _apart(stream, sizes[-2], True)
    result.row(
        "polytask", f"missing, {sizes[-2]:.0e} rows", rows_per_second=sizes[-2] / run["moments"],
        seconds=run["moments"], megabytes_grown=run["grown"],
    )  # fmt: skip
    large, small = runs[sizes[-1]], runs[sizes[-2]]
    relative = {n: run["moments"] / run["dsyrk"] for n, run in runs.items()}
    for n in sizes[-2:]:
        result.reached(name=f"share of the BLAS rate, {n:.0e} rows", value=1 / relative[n], target=0.6)
    result.reached(
        name=f"time a row, {sizes[-1]:.0e} over {sizes[-2]:.0e} rows, each over BLAS's",
        value=relative[sizes[-1]] / relative[sizes[-2]], target=1.25, at_least=False,
    )  # fmt: skip
    result.reached(
        name=f"megabytes more at {sizes[-1]:.0e} than at {sizes[-2]:.0e} rows",
        value=large["grown"] - small["grown"], target=8, at_least=False,
    )  # fmt: skip


def report_parquet(result: Result, sizes: list[int]) -> None:
    grown = []
    with tempfile.TemporaryDirectory() as folder:
        for n in sizes:
            path = Path(folder) / f"{n}.parquet"
            write_parquet(path, n)
            run = _apart(parquet, str(path))
            grown.append(run["grown"])
            result.row(
                "polytask", f"parquet, {n:.0e} rows", rows_per_second=n / run["seconds"], seconds=run["seconds"],
                megabytes_file=path.stat().st_size / 2**20, megabytes_grown=run["grown"],
            )  # fmt: skip
            path.unlink()
    result.reached(
        name=f"megabytes more from a file of {sizes[-1]:.0e} than of {sizes[-2]:.0e} rows",
        value=grown[-1] - grown[-2], target=32, at_least=False,
    )  # fmt: skip


def report_dask(result: Result, sizes: list[int]) -> None:
    for n in sizes:
        runs = {n_workers: on_dask(n, n_workers) for n_workers in (1, 2)}
        for n_workers, (seconds, busiest, _) in runs.items():
            result.row(
                "polytask", f"dask, {n:.0e} rows, {n_workers} workers", seconds=seconds,
                rows_per_second=n / seconds, processor_seconds_of_the_busiest=busiest,
            )  # fmt: skip
        difference = largest_difference(blocks_one_by_one(n), runs[2][2])
        result.reached(
            name=f"dask, {n:.0e} rows: speed-up of 2 workers", value=runs[1][0] / runs[2][0], target=1.6
        )
        result.reached(
            name=f"dask, {n:.0e} rows: speed-up in processor time", value=runs[1][1] / runs[2][1], target=1.6
        )
        result.reached(
            name=f"dask, {n:.0e} rows: difference from the stream",
            value=difference,
            target=1e-10,
            at_least=False,
        )


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--only", nargs="+", choices=["stream", "parquet", "dask"])
    options = arguments.parse_args()
    wanted = options.only or ["stream", "parquet", "dask"]
    result = Result("linear_moments", [0])
    if "stream" in wanted:
        report_stream(result, [10**4, 10**5, 10**6] if options.quick else [10**4, 10**5, 10**6, 10**7])
    if "parquet" in wanted:
        report_parquet(result, [3 * 10**4, 10**5] if options.quick else [10**5, 10**6])
    if "dask" in wanted:
        report_dask(result, [5 * 10**5] if options.quick else [10**6, 10**7])
    result.write(options.json)


if __name__ == "__main__":
    main()
