"""The extra data sets of the folder named by POLYTASK_DATA."""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io

import polytask
from polytask import TaskData
from polytask.best_model import fit_model

FOLDER = os.environ.get("POLYTASK_DATA")
pytestmark = pytest.mark.skipif(
    not FOLDER or not Path(FOLDER).is_dir(),
    reason="POLYTASK_DATA does not name the folder of extra data sets",
)
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))


def test_mulan_sets_have_their_published_shapes():
    import real_data

    shapes = {"atp1d": (337, 411, 6), "oes97": (334, 263, 16), "wq": (1060, 16, 14), "enb": (768, 8, 2),
              "jura": (359, 15, 3), "edm": (154, 16, 2), "scpf": (1137, 23, 3), "sf2": (1066, 10, 3)}  # fmt: skip
    for name, (n, p, q) in shapes.items():
        X, Y = real_data.mulan(name)
        assert (X.shape, Y.shape) == ((n, p), (n, q))


@pytest.mark.filterwarnings("ignore::polytask.errors.PolytaskWarning")
def test_a_table_with_missing_features_is_compared_and_predicted():
    import real_data

    X, Y = real_data.mulan("scpf")
    assert X.isna().any().any()
    comparison = polytask.compare(
        TaskData.from_wide(X, Y), models=["ridge", "mean-regularized"], folds=3, repeats=1
    )
    assert len(comparison.task_verdicts) == 3
    predicted = comparison.best_model().predict(X)
    assert list(predicted.columns) == list(Y.columns)
    assert np.isfinite(predicted.to_numpy()).all()


@pytest.mark.filterwarnings("ignore::polytask.errors.PolytaskWarning")
def test_139_schools_learn_better_together():
    table = scipy.io.loadmat(Path(FOLDER) / "school" / "school.mat")
    tables = {
        f"s{k}": (X, Y.ravel().astype(float)) for k, (X, Y) in enumerate(zip(table["X"][0], table["Y"][0]))
    }
    data = TaskData.from_dict(tables)
    assert (len(data.tasks), data.n_rows) == (139, 15362)
    comparison = polytask.compare(
        data, models=["ridge", "mean-regularized"], folds=3, repeats=1, inner_folds=2
    )
    assert comparison.verdicts()["overall"] == "helped"


@pytest.mark.filterwarnings("ignore::polytask.errors.PolytaskWarning")
def test_landmine_fields_are_29_binary_tasks():
    table = scipy.io.loadmat(Path(FOLDER) / "landmine" / "LandmineData.mat")
    parts = [
        pd.DataFrame(X).add_prefix("f").assign(field=f"field{k}", mine=y.ravel().astype(int))
        for k, (X, y) in enumerate(zip(table["feature"].ravel(), table["label"].ravel()))
    ]
    data = TaskData.from_long(pd.concat(parts, ignore_index=True), task="field", target="mine")
    assert (len(data.tasks), data.n_rows) == (29, 14820)
    assert {t.kind for t in data.tasks} == {"binary"}
    model = fit_model(data, ["mean-regularized logistic"], settings=1, inner_folds=2)
    p = model.predict_tasks(data.X)["field0"]
    assert ((p > 0) & (p < 1)).all()
