from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from polytask.balancing import Balancer, Equal, PCGrad, Watch
from polytask.errors import SettingError
from polytask.networks import MultiTaskClassifier, MultiTaskNetwork, MultiTaskRegressor
from polytask.training import Training


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    Y = X @ rng.normal(size=(4, 3))
    return X, np.where(rng.random(Y.shape) < 0.2, np.nan, Y)


def watched(balancer: Balancer, **settings: object) -> Balancer:
    balancer.watch = Watch(**settings)
    return balancer


@pytest.mark.parametrize("network", [MultiTaskNetwork, MultiTaskRegressor, MultiTaskClassifier])
def test_records_are_found_on_the_fitted_estimator_and_not_in_the_users_object(
    network: type[MultiTaskNetwork],
) -> None:
    X, Y = data()
    if network is MultiTaskClassifier:
        Y = (Y > 0).astype(float)
    mine = watched(Equal(), every=2, gradients=True)
    model = network(balancing=mine, max_epochs=3, batch_size=32, random_state=0).fit(X, Y)
    records = model.balancer_.watch.records
    assert len(records) == -(-model.balancer_.watch.step // 2) > 2
    assert [r["step"] for r in records] == list(range(0, model.balancer_.watch.step, 2))
    assert all(len(r["norms"]) == 3 and len(r["cosines"]) == 3 for r in records)
    assert mine.watch.records == []
    again = clone(model).fit(X, Y)
    assert again.balancer_.watch.records == records


def test_training_is_the_same_with_and_without_it() -> None:
    X, Y = data()
    settings = {"max_epochs": 3, "batch_size": 32, "random_state": 0}
    plain = MultiTaskNetwork(balancing=Equal(), **settings).fit(X, Y).predict(X)
    seen = MultiTaskNetwork(balancing=watched(Equal(), every=1, gradients=True), **settings).fit(X, Y)
    assert np.array_equal(seen.predict(X), plain)


@pytest.mark.parametrize("in_file", [False, True])
def test_a_resumed_fit_goes_on_with_the_record(in_file: bool, tmp_path: Path) -> None:
    X, Y = data()

    def fit(name: str, epochs: int) -> Balancer:
        log = tmp_path / f"{name}.jsonl" if in_file else None
        loop = Training(checkpoint=tmp_path / f"{name}.safetensors", resume=True)
        settings = {"max_epochs": epochs, "batch_size": 32, "validation_fraction": 0, "random_state": 0}
        balancer = watched(PCGrad(), every=3, path=log)
        return MultiTaskNetwork(balancing=balancer, training=loop, **settings).fit(X, Y).balancer_

    whole = fit("whole", 5)
    fit("parts", 2)
    resumed = fit("parts", 5)
    assert resumed.watch.step == whole.watch.step == 20
    assert resumed.watch.records == whole.watch.records
    if in_file:
        lines = (tmp_path / "parts.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == whole.watch.records


def test_gradients_of_a_network_that_shares_nothing_are_refused() -> None:
    X, Y = data()
    model = MultiTaskNetwork(sharing="single", balancing=watched(Equal(), gradients=True), max_epochs=1)
    with pytest.raises(SettingError, match="a network that shares none"):
        model.fit(X, Y)
