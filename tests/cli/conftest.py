from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from polytask.cli import main

LINEAR = ["--models", "ridge", "group lasso", "--jobs", "1", "--seeds", "1", "--folds", "3"]


def wide(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """Three features, a category, two regression targets and a binary one."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    Y = X @ rng.normal(size=(3, 2)) + rng.normal(size=(n, 2))
    frame = pd.DataFrame(X, columns=["f0", "f1", "f2"])
    return frame.assign(
        colour=rng.choice(["red", "blue"], n), a=Y[:, 0], b=Y[:, 1], sick=np.where(X[:, 0] > 0, "yes", "no")
    )


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "data.csv"
    wide().to_csv(path, index=False)
    return path


@pytest.fixture
def long_csv(tmp_path):
    """Three schools whose names differ only as text."""
    path = tmp_path / "long.csv"
    parts = [
        wide(20, seed).drop(columns=["b", "sick"]).assign(school=name)
        for seed, name in enumerate(("7", "07", "007"))
    ]
    pd.concat(parts).to_csv(path, index=False)
    return path


@pytest.fixture
def run(capsys):
    """Runs the command line: exit code, standard output, standard error."""

    def call(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def linear():
    """Words for a comparison that takes a second."""
    return LINEAR
