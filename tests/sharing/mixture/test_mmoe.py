from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing import HardSharing
from polytask.sharing.mixture import MMoE
from polytask.testing import check_sharing

from .twins import (
    HEADS,
    N_INPUTS,
    check_cut,
    check_own,
    check_twin,
    expert_of,
    head_of,
    mixture,
    mlp_of,
    network,
    rows,
    softmax,
)

SETTINGS: list[dict[str, Any]] = [{}, {"n_experts": 1}, {"n_experts": 3, "bottom": 1, "hidden": (6, 5, 4)}]


def twin(net: MMoE, x: Tensor) -> dict[str, Tensor]:
    """f^k(x) = Σ_i softmax(W_gk x)_i f_i(x), y_k = h^k(f^k(x))."""
    if net.bottom is not None:
        x = mlp_of(net.bottom, x)
    outputs = [expert_of(net.experts, i, x) for i in range(len(net.experts))]
    gates = [member.weight for member in net.gate.linear.members]
    return {
        task: head_of(net, task, mixture(softmax(gates[k] @ x), outputs)) for k, task in enumerate(net.tasks)
    }


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_is_its_formula(settings: dict[str, Any]) -> None:
    net = network(MMoE, **settings)
    check_twin(net, twin, rows())
    check_own(net, rows(11))
    check_cut(net, rows())


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_conforms(settings: dict[str, Any]) -> None:
    check_sharing(lambda n_inputs, heads: MMoE.for_table(n_inputs, heads, **settings))


def test_class_conforms() -> None:
    check_sharing(MMoE)


def test_one_expert_is_hard_sharing() -> None:
    net = network(MMoE, n_experts=1)
    hard = network(HardSharing)
    hard.towers.load_state_dict(net.towers.state_dict())
    hard.encoder.load_state_dict({name: w[0] for name, w in net.experts.module.state_dict().items()})
    torch.testing.assert_close(net.table(rows()), hard.table(rows()), rtol=0, atol=1e-10)


def test_equal_experts_need_no_gates() -> None:
    net = network(MMoE, n_experts=4)
    with torch.no_grad():
        for weight in net.experts.module.parameters():
            weight[1:] = weight[0]
    before = net.table(rows())
    with torch.no_grad():
        for weight in net.gate.parameters():
            weight.normal_()
    torch.testing.assert_close(net.table(rows()), before, rtol=0, atol=1e-10)


def test_gates_are_means_over_rows() -> None:
    net = network(MMoE, n_experts=3)
    x = rows(9)
    (found,) = net.gates(x)
    assert found.rows == tuple(HEADS)
    assert found.columns == ("expert 1", "expert 2", "expert 3")
    for k, member in enumerate(net.gate.linear.members):
        expected = sum(softmax(member.weight @ row) for row in x) / len(x)
        torch.testing.assert_close(torch.tensor(found.values[k]), expected.detach(), rtol=0, atol=1e-10)


def test_gates_leave_modes_as_they_are() -> None:
    net = network(MMoE, gate_dropout=0.5, dropout=0.5)
    net.train()
    net.towers.eval()
    first, again = net.gates(rows())[0].values, net.gates(rows())[0].values
    assert (first == again).all()
    assert net.training
    assert net.gate.training
    assert not net.towers.training


def test_images_are_weighed_by_the_means_of_their_channels() -> None:
    encoder = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 16, 4))
    x = torch.randn(5, 3, 6, 6)
    net = MMoE(HEADS, encoder, n_experts=2, example=x)
    gate = net.gate.linear.members[1].weight
    expected = torch.softmax(x.mean((2, 3)) @ gate.T, 1).mean(0)
    torch.testing.assert_close(torch.tensor(net.gates(x)[0].values[1]).float(), expected.detach())
    assert net.table(x).shape == (5, 6)


class Last(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, -1]


def test_sequences_are_weighed_by_the_means_of_their_features() -> None:
    x = torch.randn(5, 7, N_INPUTS)
    net = MMoE(HEADS, nn.Sequential(nn.Linear(N_INPUTS, 4), Last()), n_experts=2, example=x)
    gate = net.gate.linear.members[0].weight
    expected = torch.softmax(x.mean(1) @ gate.T, 1).mean(0)
    torch.testing.assert_close(torch.tensor(net.gates(x)[0].values[0]).float(), expected.detach())


def test_tokens_need_a_bottom() -> None:
    tokens = torch.randint(0, 9, (5, 7))
    encoder = nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 4), Last())
    with pytest.raises(SettingError, match="bottom=1"):
        MMoE(HEADS, encoder, example=tokens)
    net = MMoE(HEADS, encoder, n_experts=2, bottom=1, example=tokens)
    assert net.table(tokens).shape == (5, 6)
    assert [part.name for part in net.parts()][:2] == ["layer 1", "experts"]
    assert net.features().shape == (5, 6 + 2 * 4)


def test_blocks_may_be_named() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(N_INPUTS, 6), nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x))

    with pytest.raises(SettingError, match="blocks="):
        MMoE(HEADS, Own(), bottom=1)
    net = MMoE(HEADS, Own(), bottom=1, n_experts=2, blocks=["first", "second"])
    assert net.table(rows().float()).shape == (6, 6)
    assert [tuple(p.shape) for p in net.experts.parameters()] == [(2, 4, 6), (2, 4)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_experts": 0}, "n_experts must be 1 or more"),
        ({"bottom": 2}, "bottom=2, but the encoder has 2 blocks"),
        ({"bottom": -1}, "bottom must be zero or"),
        ({"gate_dropout": 1.0}, "gate_dropout must be a probability"),
        ({"experts": 3}, "no setting 'experts'; its settings are n_experts, gate_dropout, bottom"),
    ],
    ids=str,
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        network(MMoE, **settings)


def test_an_unknown_input_shape_is_asked_for() -> None:
    with pytest.raises(SettingError, match="example=x"):
        MMoE(HEADS, nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(32, 4)), 4)
