"""What users bring and what once went wrong without a word."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from polytask.balancing import get_balancer
from polytask.data import TaskData
from polytask.errors import DataError, SettingError
from polytask.sharing import CGC, SHARINGS, Branched, HardSharing, MMoE, SingleTask, Sluice, get_sharing, mlp
from polytask.training import NetworkModel, Training

HEADS = {"a": 1, "b": 1}


@pytest.mark.parametrize("name", ["single", "branched", "cross_stitch", "mmoe"])
def test_an_activation_that_stands_in_several_places_acts_in_all(name: str) -> None:
    act = nn.ReLU()
    layers = [nn.Linear(4, 8), act, nn.Linear(8, 8), act, nn.Linear(8, 8), act]
    apart = [nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU()]
    for ours, theirs in zip(layers[::2], apart[::2]):
        theirs.load_state_dict(ours.state_dict())
    outputs = []
    for encoder in (layers, apart):
        torch.manual_seed(0)
        network = get_sharing(name)(HEADS, nn.Sequential(*encoder), example=torch.zeros(2, 4)).eval()
        outputs.append(network.table(torch.linspace(-1, 1, 40).view(10, 4)))
    assert torch.equal(*outputs)


def test_tied_layers_in_two_blocks_are_refused() -> None:
    layer = nn.Linear(6, 6)
    with pytest.raises(SettingError, match="Block 3 of the encoder has weights of an earlier block"):
        Branched(HEADS, [nn.Linear(4, 6), layer, layer])


def test_layers_with_hooks_are_not_bypassed() -> None:
    encoder = mlp(4, (6,))
    encoder[0].register_forward_hook(lambda module, inputs, out: torch.zeros_like(out))
    network = SingleTask(HEADS, encoder, 6)
    assert network.encoders.path != "batched"
    assert torch.equal(network(torch.randn(3, 4))["a"], network.towers.module("a").bias.expand(3, 1))


@pytest.mark.parametrize("cls", [SingleTask, CGC])
def test_running_statistics_see_the_rows_alone(cls: type[SingleTask] | type[CGC]) -> None:
    """Rows that only fill up a task's group must not enter; the third task has no rows at all."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU())
    network = cls({**HEADS, "c": 1}, encoder, example=torch.zeros(2, 4)).double().train()
    x = torch.randn(12, 4, dtype=torch.float64) + 5
    network.own(x, torch.tensor([0] * 8 + [1] * 4))
    own = network.encoders if isinstance(network, SingleTask) else network.level.own
    for (linear, norm, _), rows in zip(own.members, (x[:8], x[8:], None)):
        if rows is None:
            assert norm.num_batches_tracked == 0
            assert not norm.running_mean.any()
        else:
            assert norm.num_batches_tracked == 1
            torch.testing.assert_close(norm.running_mean, 0.1 * linear(rows).detach().mean(0))


def test_frozen_layers_are_copied_as_they_are() -> None:
    encoder = mlp(4, (6, 6))
    encoder[0].requires_grad_(False)
    first, second = SingleTask(HEADS, encoder, 6).encoders.members
    assert torch.equal(first[0].weight, second[0].weight)
    assert not torch.equal(first[2].weight, second[2].weight)


def test_rows_may_be_masks_or_lists() -> None:
    x = torch.randn(5, 4)
    for name in SHARINGS:
        network = get_sharing(name).for_table(4, HEADS, hidden=(6, 6)).eval()
        mask = torch.tensor([True, False, False, True, False])
        expected = network(x)["a"][[0, 3]]
        for rows in (mask, [0, 3], np.array([0, 3])):
            torch.testing.assert_close(network(x, {"a": rows})["a"], expected)
    with pytest.raises(SettingError, match="rows must map tasks to their rows"):
        network(x, ["a"])
    with pytest.raises(SettingError, match="Task 'a': rows must be positions"):
        network(x, {"a": torch.ones(2, 2)})


def test_inputs_of_other_dimensions_are_refused() -> None:
    network = HardSharing.for_table(4, HEADS)
    for shape in ((5, 7, 4), (4,)):
        with pytest.raises(SettingError, match="takes 4 features per row"):
            network(torch.zeros(shape))


def test_a_block_that_changes_its_input_is_refused() -> None:
    encoder = nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 6)))
    with pytest.raises(SettingError, match=r"Block 2 .* changes its input in place"):
        Sluice(HEADS, encoder)


def test_dropout_without_a_layer_for_it_is_refused() -> None:
    with pytest.raises(
        SettingError, match=r"dropout=0\.5 acts in the task-specific layers, and there are none"
    ):
        MMoE(HEADS, mlp(4, (6,)), dropout=0.5)


def test_frozen_statistics_stay_frozen_when_looked_at() -> None:
    encoder = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6))
    network = HardSharing(HEADS, encoder, example=torch.zeros(2, 4)).train()
    encoder[1].eval()
    network.flops()
    assert network.training
    assert not encoder[1].training


def test_compiled_networks_keep_their_shared_gradients() -> None:
    """All of a compiled network is one node of autograd's graph; features and outputs are two of its outputs."""
    torch.manual_seed(0)
    network = HardSharing.for_table(4, HEADS, hidden=(8, 8))
    compiled = torch.compile(network, backend="aot_eager")
    x = torch.randn(16, 4)
    norms = []
    for call in (network, compiled):
        network.zero_grad()
        losses = {t: (out - 1).square().mean() for t, out in call(x).items()}
        get_balancer("pcgrad").backward(
            losses, shared=network.shared_parameters(), features=network.features()
        )
        norms.append(sum(float(p.grad.norm()) for p in network.shared_parameters()))
    assert norms[0] > 0
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)


def test_validation_tasks_may_come_in_another_order() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 4))
    Y = {"number": X[:, 0] + 0.1 * rng.normal(size=80), "class": (X[:, 1] > 0).astype(int)}
    data = TaskData.from_wide(X, Y)
    turned = TaskData.from_wide(X, dict(reversed(Y.items())))

    def fit(validation: TaskData) -> NetworkModel:
        build = lambda n, heads: HardSharing.for_table(n, heads, hidden=(6,))  # noqa: E731
        return NetworkModel.fit(build, data, validation, get_balancer("equal"), Training(max_epochs=2))

    assert fit(turned).history[-1]["validation"] == fit(data).history[-1]["validation"]
    with pytest.raises(DataError, match="validation data has no task 'class'"):
        fit(data.select(["number"]))
    with pytest.raises(DataError, match="has 3 columns, the training data 4"):
        fit(data.with_X(X[:, 1:]))
