"""The data sets of the folder named by POLYTASK_DATA, as arrays."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd

#: Mulan's multi-target sets and their number of targets, which are the last columns.
MULAN = {"atp1d": 6, "oes97": 16, "wq": 14, "enb": 2, "jura": 3, "edm": 2, "scpf": 3, "sf2": 3}


def folder() -> Path:
    """The data folder; raises with the way to name it."""
    path = os.environ.get("POLYTASK_DATA")
    if not path or not Path(path).is_dir():
        raise SystemExit(
            "Set POLYTASK_DATA to the folder with the data sets (mulan_multi_target/, school/, …)."
        )
    return Path(path)


def mulan(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features and targets of one of Mulan's multi-target regression sets; '?' is missing."""
    names, nominal, rows = [], [], []
    with gzip.open(folder() / "mulan_multi_target" / f"{name}.arff.gz", "rt") as lines:
        in_data = False
        for line in lines:
            line = line.strip()
            if not line or line.startswith("%"):
                continue
            if in_data:
                rows.append([None if v.strip() == "?" else v.strip().strip("'\"") for v in line.split(",")])
            elif line.lower().startswith("@attribute"):
                rest = line.split(None, 1)[1]
                attribute = rest.split(None, 1)[0].strip("'\"")
                names.append(attribute)
                nominal.append("{" in rest)
            elif line.lower().startswith("@data"):
                in_data = True
    frame = pd.DataFrame(rows, columns=names)
    q = MULAN[name]
    for column, text in zip(names, nominal):
        if not text or column in names[-q:]:
            frame[column] = pd.to_numeric(frame[column])
    return frame.iloc[:, :-q], frame.iloc[:, -q:].astype(float)


def relative_rmse(truth: np.ndarray, predicted: np.ndarray, train: np.ndarray) -> float:
    """Mean over targets of RMSE relative to predicting the training mean; NaN entries are left out."""
    mean = np.nanmean(train, axis=0)
    error = np.sqrt(np.nanmean((truth - predicted) ** 2, axis=0))
    return float(np.mean(error / np.sqrt(np.nanmean((truth - mean) ** 2, axis=0))))
