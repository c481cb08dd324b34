"""`polytask predict`: predictions of a saved model as a table."""

from __future__ import annotations

import argparse
import sys

from polytask.cli.tables import check_writable, read_table, write_table


def run(arguments: argparse.Namespace) -> None:
    """Load, predict, and write to a file or as CSV to standard output."""
    if arguments.out:
        check_writable(arguments.out)
    from polytask import load  # heavy, and not needed to refuse bad input

    model = load(arguments.model)
    frame = read_table(arguments.data, text_columns=[model.task_column] if model.task_column else [])
    predictions = model.predict_proba(frame) if arguments.proba else model.predict(frame)
    if arguments.out:
        write_table(predictions, arguments.out)
    else:
        predictions.to_csv(sys.stdout, index=False, lineterminator="\n")
