"""The words of the command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from polytask import __version__

EXIT_CODES = """\
exit codes:
  0    done
  1    anything unexpected: a missing package, a full disk, a model that failed, a bug
  2    usage: an unknown option, setting or model name, an output that is in the way
  3    data: a file that cannot be read, a column, a target or a task at fault
  4    folder: a model that cannot be loaded, or a folder that holds another comparison
  130  interrupted (Ctrl-C)
"""

_EXAMPLES = """\
examples:
  polytask compare meats.csv --targets water fat protein --out result
  polytask compare exam.csv --task-column school --target score --budget 2m
  polytask fit meats.csv --targets water fat protein --out model
  polytask predict model new.csv --out predictions.csv

"""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(
        prog="polytask",
        description="Does learning several tasks together help, which ones, with what model?",
        epilog=_EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"polytask {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="compare | fit | predict")
    _compare(
        _command(
            commands, "compare", "compare learning the tasks apart and together, and keep the best model"
        )
    )
    _fit(_command(commands, "fit", "fit a model without a comparison"))
    _predict(_command(commands, "predict", "predict with a saved model"))
    return top


def seconds(text: str) -> float:
    """A time span: `90`, `90s`, `5m` or `1.5h` as seconds."""
    unit = _UNITS.get(text[-1:].lower())
    try:
        value = float(text if unit is None else text[:-1]) * (unit or 1.0)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time span; write 90s, 5m or 1h")
    return value


def at_least(least: int) -> Callable[[str], int]:
    """A type of whole numbers from `least` on."""

    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
        return value

    return whole


def _command(commands: argparse._SubParsersAction, name: str, help_: str) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=help_,
        description=help_[0].upper() + help_[1:] + ".",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--quiet", action="store_true", help="say nothing but errors, and what was asked for"
    )
    command.add_argument(
        "--debug", action="store_true", help="show the traceback of an error and all warnings"
    )
    return command


def _data(command: argparse.ArgumentParser) -> None:
    command.add_argument("data", type=Path, help="CSV or Parquet file")
    group = command.add_argument_group("tasks (either --targets, or --task-column with --target)")
    form = group.add_mutually_exclusive_group(required=True)
    form.add_argument("--targets", nargs="+", metavar="COLUMN", help="target columns, a task each")
    form.add_argument("--task-column", metavar="COLUMN", help="column that says which task a row belongs to")
    group.add_argument("--target", metavar="COLUMN", help="target column, with --task-column")
    group.add_argument(
        "--kind",
        nargs="+",
        default=[],
        metavar="NAME=KIND",
        help="kind of a task where it should not be inferred: regression, binary, multiclass, counts; "
        "without NAME for all tasks",
    )
    group = command.add_argument_group("features and rows")
    group.add_argument(
        "--drop", nargs="+", default=[], metavar="COLUMN", help="columns that are not features"
    )
    group.add_argument("--group-column", metavar="COLUMN", help="rows of one group stay together in folds")
    group.add_argument("--time-column", metavar="COLUMN", help="train on the past, test on the future")


def _compare(command: argparse.ArgumentParser) -> None:
    _data(command)
    group = command.add_argument_group("comparison")
    group.add_argument(
        "--models", nargs="+", metavar="NAME", help='candidates, such as ridge "group lasso"; default: all'
    )
    group.add_argument("--folds", type=at_least(2), default=5, metavar="N", help="outer folds (default 5)")
    group.add_argument(
        "--seeds",
        type=at_least(1),
        default=3,
        metavar="N",
        help="repeats of all folds, each with its own seed (default 3)",
    )
    group.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="the first seed (default 0)")
    group.add_argument("--budget", type=seconds, metavar="TIME", help="wall-clock limit: 60s, 5m, 1h")
    group.add_argument(
        "--jobs", type=int, default=-1, metavar="N", help="processes at a time (default -1: all cores)"
    )
    group = command.add_argument_group("output")
    group.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for report.html, comparison.json and model/; the same command resumes from it",
    )
    group.add_argument("--json", action="store_true", help="print the result as JSON instead of tables")


def _fit(command: argparse.ArgumentParser) -> None:
    _data(command)
    group = command.add_argument_group("model")
    group.add_argument(
        "--model", metavar="NAME", help="the one to fit; default: chosen by validation for each task"
    )
    group.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="default 0")
    group.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the model")


def _predict(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", type=Path, help="folder of a saved model")
    command.add_argument("data", type=Path, help="CSV or Parquet file with the model's features")
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="CSV or Parquet file; default: CSV on standard output"
    )
    command.add_argument("--proba", action="store_true", help="probabilities of classes instead of labels")
