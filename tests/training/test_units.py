from __future__ import annotations

import json

import numpy as np
import pytest

from polytask.data import TaskData
from polytask.tasks import Task
from polytask.training.units import Units, find_units

from . import problems


def test_an_output_of_zero_is_the_null_model() -> None:
    data = problems.mixed(n=400)
    units = find_units(data)
    for task in data.tasks:
        y, w = data.targets[task.name], data.weights[task.name]
        prediction = units[task.name].predict(np.zeros((1, task.n_outputs)))[0]
        if task.kind == "multiclass":
            y = np.eye(task.n_outputs)[y]
        known = ~np.isnan(y)
        weights = w[:, None] * known if y.ndim == 2 else w
        mean = (np.nan_to_num(y) * weights).sum(0) / weights.sum(0)
        np.testing.assert_allclose(prediction, mean, rtol=0.02, atol=0.005)


def test_regression_is_on_unit_scale_and_comes_back() -> None:
    data = problems.mixed(n=400)
    price = find_units(data)["price"]
    encoded = price.encode(data.targets["price"])
    assert np.average(encoded, weights=data.weights["price"]) == pytest.approx(0)
    assert np.average(encoded**2, weights=data.weights["price"]) == pytest.approx(1)
    np.testing.assert_allclose(price.predict(encoded[:, None]), data.targets["price"])


def test_scaling_can_be_left_out() -> None:
    data = TaskData.from_wide(np.arange(6.0).reshape(3, 2), {"t": [1.0, 5.0, 7.5]}, [Task("t", scale=False)])
    assert find_units(data)["t"] == Units("regression", (0.0,), 1.0)


def test_counts_with_squared_error_are_scaled() -> None:
    y = np.array([0.0, 10.0, 20.0, 30.0])
    data = TaskData.from_wide(
        np.random.default_rng(0).normal(size=(4, 2)), {"t": y}, [Task("t", "counts", "squared_error")]
    )
    units = find_units(data)["t"]
    assert units.scale == pytest.approx(y.std())
    # The loss compares e^(o + offset) with the encoded count, predictions are e^(o + location).
    o = np.array([[0.3]])
    assert np.exp(o + units.offset)[0, 0] * units.scale == pytest.approx(units.predict(o)[0])


def test_units_are_plain_data() -> None:
    for units in find_units(problems.mixed()).values():
        assert Units.from_dict(json.loads(json.dumps(units.to_dict()))) == units
