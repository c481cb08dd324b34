"""`polytask compare`: the verdict on the terminal, the report, the numbers and the best model in a folder."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from polytask.cli.folders import check_model_folder, check_result_folder
from polytask.cli.tasks import read_tasks


def run(arguments: argparse.Namespace) -> None:
    """Compare, write the report before anything is printed, and the model last: it is fitted on all rows."""
    if arguments.out:
        check_result_folder(arguments.out)
        check_model_folder(arguments.out / "model")
    data = read_tasks(arguments)
    from polytask import compare  # heavy, and not needed to refuse bad input

    comparison = compare(
        data,
        models=arguments.models,
        folds=arguments.folds,
        repeats=arguments.seeds,
        budget=arguments.budget,
        folder=arguments.out / "progress" if arguments.out else None,
        seed=arguments.seed,
        n_jobs=arguments.jobs,
        progress=not arguments.quiet and sys.stderr.isatty(),
    )
    report = comparison.to_dict()
    _write(report, arguments)
    _print(report, arguments)
    if arguments.out:
        comparison.best_model().save(arguments.out / "model")
        if not arguments.quiet:
            print(
                f"\nReport: {arguments.out / 'report.html'}\nModel:  {arguments.out / 'model'}",
                file=sys.stderr if arguments.json else sys.stdout,
            )


def _write(report: dict[str, Any], arguments: argparse.Namespace) -> None:
    if not arguments.out:
        return
    from polytask.environment import dump_json
    from polytask.files import write_atomic
    from polytask.reporting.html import write_html

    write_atomic(arguments.out / "comparison.json", dump_json(report) + "\n")
    write_html(report, arguments.out / "report.html")


def _print(report: dict[str, Any], arguments: argparse.Namespace) -> None:
    if arguments.json:
        from polytask.environment import dump_json

        print(dump_json(report))
    elif not arguments.quiet:
        from polytask.reporting.terminal import print_comparison

        print_comparison(report)
