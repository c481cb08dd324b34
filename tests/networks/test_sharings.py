"""Every architecture by its name: trained, balanced, stored and read again."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch

from polytask import MultiTaskNetwork, Task
from polytask.errors import SettingError
from polytask.sharing import SHARINGS

TASKS = [Task("size", "regression"), Task("kind", "multiclass"), Task("sold", "binary")]


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 6))
    score = X @ rng.normal(size=6)
    size = score + 0.1 * rng.normal(size=240)
    size[::7] = np.nan
    return X, {"size": size, "kind": np.digitize(score, [-1.0, 1.0]), "sold": (X[:, 0] > 0).astype(int)}


def fitted(name: str, table, epochs: int = 4, **settings) -> MultiTaskNetwork:
    network = MultiTaskNetwork(
        TASKS, sharing=name, hidden=(8, 8), max_epochs=epochs, random_state=0, **settings
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experts of four epochs may look alike
        return network.fit(*table)


@pytest.mark.parametrize("name", SHARINGS)
def test_learns_and_is_stored(name: str, table) -> None:
    model = fitted(name, table, epochs=25, learning_rate=1e-2)
    assert model.score(*table) > 0.5
    tensors, config = model.to_state()
    again = MultiTaskNetwork.from_state(tensors, json.loads(json.dumps(config)))
    for task, values in model.predict_tasks(table[0]).items():
        np.testing.assert_array_equal(again.predict_tasks(table[0])[task], values)


@pytest.mark.parametrize("name", SHARINGS)
def test_the_same_seed_gives_the_same_weights(name: str, table) -> None:
    first, second = fitted(name, table), fitted(name, table)
    for key, values in first.to_state()[0].items():
        np.testing.assert_array_equal(second.to_state()[0][key], values, err_msg=key)


@pytest.mark.parametrize("balancing", ["pcgrad", "uncertainty", "mgda_ub"])
@pytest.mark.parametrize("name", SHARINGS)
def test_balancing_works_on_what_is_shared(name: str, balancing: str, table) -> None:
    network = SHARINGS[name].for_table(6, {"size": 1, "kind": 3, "sold": 1}, hidden=(8, 8))
    network(torch.zeros(2, 6))
    shares = any(True for _ in network.shared_parameters())
    if balancing != "uncertainty" and not shares:
        with pytest.raises(SettingError, match=f"sharing '{name}' shares no parameters"):
            fitted(name, table, balancing=balancing)
    elif balancing == "mgda_ub" and network.features() is None:
        with pytest.raises(SettingError, match="features"):
            fitted(name, table, balancing=balancing)
    else:
        model = fitted(name, table, balancing=balancing)
        assert np.isfinite(model.predict_tasks(table[0])["size"]).all()


def test_branches_are_found_in_training(table) -> None:
    model = fitted("adaptive", table, epochs=40, sharing_settings={"epochs": 8, "unit_cost": 0.0})
    assert model.score(*table) > 0.5
    branches = model.model_.sharing.branches()
    assert len(branches) == 2
    assert sorted(task for group in branches[-1] for task in group) == ["kind", "size", "sold"]
    assert model.decisions_[0]["layer"] == 2
    assert model.decisions_[0]["groups"] == [list(group) for group in branches[-1]]
    tensors, config = model.to_state()
    again = MultiTaskNetwork.from_state(tensors, json.loads(json.dumps(config)))
    assert again.model_.sharing.branches() == branches
    np.testing.assert_array_equal(
        again.predict_tasks(table[0])["size"], model.predict_tasks(table[0])["size"]
    )
    with pytest.raises(
        SettingError, match="'adaptive' has no setting 'unitcost'; its settings are unit_cost"
    ):
        fitted("adaptive", table, sharing_settings={"unitcost": 1.0})
