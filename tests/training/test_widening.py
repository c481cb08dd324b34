from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from polytask.balancing import get_balancer
from polytask.data import TaskData
from polytask.errors import DataError, SettingError
from polytask.sharing import HardSharing
from polytask.sharing.branched import Branched
from polytask.training import NetworkModel, Training
from polytask.training.widening import Widened, Widening, thin_start, widen
from polytask.training.widening.affinity import branch_affinity, margin, task_affinity
from polytask.training.widening.procedure import decide, n_pooling_above

from .problems import mixed, own_rows, wide

SETTINGS = Training(max_epochs=8, batch_size=64, learning_rate=1e-2, device="cpu")
RULES = Widening(epochs=2)


def two_pairs(n: int = 600, seed: int = 0) -> tuple[TaskData, TaskData]:
    """Tasks a and c have the same signal and the same noise; so have b and d."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    first = X[:, 0] + rng.standard_t(3, size=n)
    second = X[:, 1] + rng.standard_t(3, size=n)
    columns = {
        name: signal + 0.1 * rng.normal(size=n)
        for name, signal in zip("abcd", (first, second, first, second))
    }
    data = TaskData.from_wide(X, columns)
    return data.subset(np.arange(n // 2)), data.subset(np.arange(n // 2, n))


def run(seed: int = 0, rules: Widening = RULES, **changes: object) -> Widened:
    train, validation = two_pairs()
    settings = replace(SETTINGS, **changes)
    return widen(thin_start(hidden=(6, 4)), train, validation, widening=rules, settings=settings, seed=seed)


@pytest.fixture(scope="module")
def widened() -> Widened:
    return run()


def test_finds_the_tasks_that_belong_together(widened: Widened) -> None:
    pairs = [("a", "c"), ("b", "d")]
    assert widened.model.sharing.branches() == [pairs, pairs]
    assert [d["layer"] for d in widened.decisions] == [2, 1]
    assert widened.decisions[0]["groups"] == [["a", "c"], ["b", "d"]]
    assert widened.decisions[1]["above"] == widened.decisions[0]["groups"]


def test_decisions_are_plain_and_complete(widened: Widened) -> None:
    assert json.loads(json.dumps(widened.decisions)) == widened.decisions
    first = widened.decisions[0]
    assert [len(choice["groups"]) for choice in first["choices"]] == [1, 2, 3, 4]
    costs = [choice["cost"] for choice in first["choices"]]
    assert first["groups"] == first["choices"][int(np.argmin(costs))]["groups"]
    # The cost of the top layer is the one at which both extremes cost the same, and it holds further down.
    assert costs[0] == pytest.approx(costs[-1])
    assert {d["unit_cost"] for d in widened.decisions} == {first["unit_cost"]}
    network = widened.model.sharing
    assert widened.decisions[-1]["parameters"] == sum(p.numel() for p in network.parameters())


def test_history_has_the_epochs_of_all_stages(widened: Widened) -> None:
    history = widened.model.history
    assert [record["epoch"] for record in history] == list(range(len(history)))
    assert [record["stage"] for record in history] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [d["epochs"] for d in widened.decisions] == [2, 4]
    assert len(history) == SETTINGS.max_epochs
    train, validation = two_pairs()
    told: list[dict] = []
    build = thin_start(hidden=(6, 4))
    found = widen(build, train, validation, widening=RULES, settings=SETTINGS, callback=told.append)
    assert told == found.model.history == history


def test_a_seed_gives_one_network_and_leaves_the_data(widened: Widened) -> None:
    again, other = run(), run(seed=1)
    X = two_pairs()[1].X
    ours, same, different = (w.model.predict_tasks(X)["a"] for w in (widened, again, other))
    assert np.array_equal(ours, same)
    assert not np.array_equal(ours, different)
    assert again.decisions == widened.decisions


def test_the_affinities_are_those_of_the_errors() -> None:
    """The tables of a decision, from predictions by hand."""
    train, validation = two_pairs()
    network = thin_start(hidden=(6, 4))
    model = NetworkModel.fit(network, train, validation, get_balancer("equal"), SETTINGS)
    found = decide(model, validation, 1, [["a", "c"], ["b"], ["d"]], Widening(unit_cost=0.2))
    names = validation.task_names
    predictions = model.predict_tasks(validation.X)
    table = [margin(validation.task(t), validation.targets[t], predictions[t]) for t in names]
    affinity = task_affinity(np.stack(table, 1))
    np.testing.assert_allclose(found["task_affinity"], affinity, atol=1e-6)
    expected = branch_affinity(affinity, [[0, 2], [1], [3]])
    np.testing.assert_allclose(found["branch_affinity"], expected, atol=1e-6)
    assert found["unit_cost"] == 0.2
    assert found["choices"][1]["creation"] == pytest.approx(0.2)


def test_the_first_split_copies_what_the_thin_network_learned() -> None:
    """A stage without steps to speak of: outputs stay those of the network before."""
    train, validation = two_pairs()
    settings = replace(SETTINGS, max_epochs=1, learning_rate=1e-12, weight_decay=0.0)
    build = thin_start(hidden=(6, 4))
    start = NetworkModel.fit(build, train, validation, get_balancer("equal"), settings)
    rules = Widening(unit_cost=0.0, epochs=1)
    found = widen(build, train, validation, widening=rules, settings=settings)
    assert all(len(groups) == 4 for groups in found.model.sharing.branches())
    for task, expected in start.predict_tasks(validation.X).items():
        np.testing.assert_allclose(found.model.predict_tasks(validation.X)[task], expected, atol=1e-5)


def test_stops_where_one_branch_is_left() -> None:
    found = run(rules=Widening(unit_cost=10.0, epochs=2))
    assert found.model.sharing.branches() == [[tuple("abcd")]] * 2
    assert [d["layer"] for d in found.decisions] == [2]
    assert [record["stage"] for record in found.model.history] == [0, 0, 1, 1, 1, 1, 1, 1]


def test_the_last_stage_has_as_many_epochs_as_the_others() -> None:
    found = run(max_epochs=1)
    assert [record["stage"] for record in found.model.history] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_all_kinds_of_tasks_and_missing_labels() -> None:
    data = mixed(n=160)
    train, validation = data.subset(np.arange(100)), data.subset(np.arange(100, 160))
    found = widen(thin_start(hidden=(5,)), train, validation, widening=RULES, settings=SETTINGS)
    (groups,) = found.model.sharing.branches()
    assert sorted(t for group in groups for t in group) == sorted(data.task_names)
    assert found.model.predict_tasks(data.X)["tags"].shape == (160, 3)


def test_one_task_has_nothing_to_decide() -> None:
    data = wide(q=1)
    train, validation = data.subset(np.arange(60)), data.subset(np.arange(60, 100))
    found = widen(thin_start(hidden=(4, 4)), train, validation, widening=RULES, settings=SETTINGS)
    assert found.decisions == []
    assert [record["stage"] for record in found.model.history] == [0, 0, *[1] * 6]


def test_tasks_with_rows_of_their_own_are_refused() -> None:
    data = own_rows()
    with pytest.raises(DataError, match="common rows"):
        widen(thin_start(hidden=(4,)), data, data, widening=RULES, settings=SETTINGS)


@pytest.mark.parametrize("balancing", ["equal", "mgda", "dwa"])
def test_balanced_stages(balancing: str) -> None:
    train, validation = two_pairs()
    balancer = get_balancer(balancing)
    found = widen(
        thin_start(hidden=(6, 4)), train, validation, widening=RULES, balancer=balancer, settings=SETTINGS
    )
    assert np.isfinite(found.model.history[-1]["objective"])


# ---------------------------------------------------------------------- where it starts


def test_starts_from_filters_of_a_trained_encoder() -> None:
    train, validation = two_pairs()

    def hard(n_inputs: int, heads: dict[str, int]) -> HardSharing:
        return HardSharing.for_table(n_inputs, heads, hidden=(12, 8))

    trained = NetworkModel.fit(hard, train, validation, get_balancer("equal"), SETTINGS).sharing
    network = thin_start(trained.encoder, (6, 4))(4, trained.heads)
    assert next(network.parameters()).dtype == torch.float32
    rows = {tuple(row) for row in trained.encoder[0].weight.float().tolist()}
    kept = {tuple(row) for row in network.block(0)[0].weight.tolist()}
    assert len(kept) == 6
    assert kept <= rows
    found = widen(thin_start(trained.encoder, 0.5), train, validation, widening=RULES, settings=SETTINGS)
    assert found.decisions[0]["groups"] == [["a", "c"], ["b", "d"]]
    assert found.model.sharing.block(1)[0].out_features == 4


def test_an_encoder_as_it_is_is_copied() -> None:
    encoder = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    before = encoder[0].weight.detach().clone()
    train, validation = two_pairs()
    found = widen(thin_start(encoder), train, validation, widening=RULES, settings=SETTINGS)
    assert torch.equal(encoder[0].weight, before)
    assert not torch.equal(found.model.sharing.block(0)[0].weight, before)


def test_blocks_without_weights_part_like_the_one_below() -> None:
    train, validation = two_pairs()
    blocks = [
        nn.Identity(),
        nn.Linear(4, 6),
        nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Flatten()),
        nn.Linear(6, 4),
    ]
    found = widen(thin_start(blocks), train, validation, widening=RULES, settings=SETTINGS)
    pairs = [("a", "c"), ("b", "d")]
    assert found.model.sharing.branches() == [[tuple("abcd")], pairs, pairs, pairs]
    assert [d["layer"] for d in found.decisions] == [4, 2]


def test_pooling_layers_above_a_layer_are_counted() -> None:
    encoder = nn.Sequential(
        *(nn.Unflatten(1, (1, 8, 8)), nn.AvgPool2d(2), nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2)),
        *(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Linear(3, 2), nn.ReLU()),
    )
    network = Branched({"a": 1, "b": 1}, encoder, example=torch.zeros(2, 64))
    assert [n_pooling_above(network, layer) for layer in range(3)] == [2, 1, 0]


def test_settings_are_checked() -> None:
    train, validation = two_pairs()
    with pytest.raises(SettingError, match="widths chooses among the filters"):
        thin_start(widths=0.5)
    for setting, message in (
        ({"unit_cost": -1.0}, "unit_cost"),
        ({"alpha": -1.0}, "alpha"),
        ({"epochs": 0}, "epochs"),
    ):
        with pytest.raises(SettingError, match=message):
            Widening(**setting)
    with pytest.raises(SettingError, match="validation rows"):
        widen(thin_start(), train, None, settings=SETTINGS)
    with pytest.raises(SettingError, match="checkpoint"):
        widen(thin_start(), train, validation, settings=replace(SETTINGS, checkpoint="x"))
    with pytest.raises(SettingError, match="needs a network with branches, not a HardSharing"):
        widen(HardSharing.for_table, train, validation, settings=SETTINGS)

    def grown(n_inputs: int, heads: dict[str, int]) -> Branched:
        return thin_start()(n_inputs, heads).split(1, [["a"], ["b", "c", "d"]])

    with pytest.raises(SettingError, match="leave branches=… out"):
        widen(grown, train, validation, settings=SETTINGS)
