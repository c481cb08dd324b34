"""Census income (UCI, KDD) as three binary tasks; `sharing_census` says what is left out, and why."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from polytask.data import TaskData
from real_data import folder

EDUCATION, MARITAL, INCOME = 4, 7, 41
#: Tax filer status, and the household status in detail and in short, which state marital status.
GIVE_AWAY = (19, 22, 23)
SAMPLING_WEIGHT = 24
MONEY = (5, 16, 17, 18)  # wage per hour, capital gains and losses, dividends
NUMBERS = (0, 30, 39)  # age, persons who work for the employer, weeks worked

COLLEGE = (
    "Associates degree-occup /vocational",
    "Associates degree-academic program",
    "Bachelors degree(BA AB BS)",
    "Masters degree(MA MS MEng MEd MSW MBA)",
    "Prof school degree (MD DDS DVM LLB JD)",
    "Doctorate degree(PhD EdD)",
)


@cache
def census() -> TaskData:
    """The features of all rows, and all three tasks; read once in a process."""
    frame = pd.read_csv(
        folder() / "census_income" / "census-income.test.gz", header=None, skipinitialspace=True
    )
    labels = {
        "income": frame[INCOME] == "50000+.",
        "education": frame[EDUCATION].isin(COLLEGE),
        "never_married": frame[MARITAL] == "Never married",
    }
    out = {EDUCATION, MARITAL, INCOME, SAMPLING_WEIGHT, *GIVE_AWAY}
    categories = [c for c in frame if c not in {*out, *MONEY, *NUMBERS}]
    blocks = [np.log1p(frame[list(MONEY)]), frame[list(NUMBERS)]]
    blocks += [pd.get_dummies(frame[categories].astype(str))]
    features = np.concatenate([block.to_numpy(dtype=np.float32) for block in blocks], axis=1)
    return TaskData.from_wide(features, {task: y.to_numpy(dtype=float) for task, y in labels.items()})
