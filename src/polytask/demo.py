"""The main job on real data: three verdicts and a report of each (`make demo`, `python -m polytask.demo`)."""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import polytask
from polytask import datasets
from polytask.data import TaskData
from polytask.errors import PolytaskWarning

#: Name, data, and what the tasks are.
CASES: tuple[tuple[str, Callable[[], TaskData], str], ...] = (
    ("london-schools", datasets.london_schools, "exam scores in 65 London schools, a task per school"),
    ("meats", datasets.meats, "water, fat and protein from near-infrared spectra"),
    ("chicago", datasets.chicago, 'daily rides at four Chicago "L" stations, forward in time'),
)

#: Seconds of wall clock per data set.
BUDGET = 45.0


def main(argv: list[str] | None = None) -> int:
    """Run the three comparisons, print their verdicts and the paths of the reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("polytask-demo"), help="folder of the reports")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds per data set")
    arguments = parser.parse_args(argv)
    start = time.monotonic()
    for name, load, what in CASES:
        print(f"{name}: {what} …", flush=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PolytaskWarning)
            comparison = polytask.compare(load(), budget=arguments.budget, n_jobs=-1, progress=True)
            report = comparison.to_html(arguments.out / f"{name}.html")
        print(f"  {comparison.summary()}")
        for note in comparison.notes:
            print(f"  note: {note}")
        print(f"  report: {report.resolve()}", flush=True)
    print(f"three verdicts in {time.monotonic() - start:.0f} seconds")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
