"""`polytask fit`: a model without a comparison."""

from __future__ import annotations

import argparse

from polytask.cli.folders import check_model_folder
from polytask.cli.tasks import read_tasks


def run(arguments: argparse.Namespace) -> None:
    """Tune, fit and save."""
    check_model_folder(arguments.out)
    data = read_tasks(arguments)
    from polytask.best_model import fit_model  # heavy, and not needed to refuse bad input

    models = [arguments.model] if arguments.model else None
    model = fit_model(data, models, seed=arguments.seed)
    model.save(arguments.out)
    if not arguments.quiet:
        print(f"{model!r}\nModel: {arguments.out}")
