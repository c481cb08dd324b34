import numpy as np
import pandas as pd

from polytask import Task, TaskData
from polytask.data.scaling import TargetScaler


def test_wide_tasks_are_scaled_each_by_its_own_and_back():
    rng = np.random.default_rng(0)
    Y = np.column_stack([rng.normal(3, 2, 50), rng.normal(-100, 50, 50)])
    Y[4, 1] = np.nan
    data = TaskData.from_wide(rng.normal(size=(50, 2)), Y)
    scaler = TargetScaler().fit(data)
    scaled = scaler.transform(data)
    for t in data.task_names:
        assert abs(scaled.targets[t].mean()) < 1e-12
        np.testing.assert_allclose(scaled.targets[t].std(), 1.0)
        np.testing.assert_allclose(scaler.inverse(scaled.targets)[t], data.targets[t])
        assert not scaled.task(t).scale


def test_long_tasks_share_one_scale_so_that_levels_stay_visible():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=40),
            "s": np.repeat(["a", "b"], 20),
            "y": np.r_[rng.normal(0, 1, 20), rng.normal(9, 1, 20)],
        }
    )
    data = TaskData.from_long(frame, task="s", target="y")
    scaled = TargetScaler().fit(data).transform(data)
    assert scaled.targets["b"].mean() - scaled.targets["a"].mean() > 1


def test_counts_classes_and_tasks_that_say_so_are_left_alone():
    rng = np.random.default_rng(0)
    Y = {"k": rng.poisson(3, 30), "c": rng.integers(0, 2, 30), "y": rng.normal(9, 3, 30)}
    data = TaskData.from_wide(
        rng.normal(size=(30, 1)), Y, tasks=[Task("k", "counts"), Task("y", "regression", scale=False)]
    )
    scaled = TargetScaler().fit(data).transform(data)
    for t in data.task_names:
        np.testing.assert_array_equal(scaled.targets[t], data.targets[t])
