from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from polytask.errors import SettingError
from polytask.sharing.stacked import Stacked

from .test_parallel import FACTORIES, PATHS, D, N, T, members


class LastState(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(D, 3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x.unsqueeze(1))[0][:, -1]


@pytest.mark.parametrize("name", FACTORIES)
@pytest.mark.parametrize("own_inputs", [False, True])
def test_equals_a_loop_over_the_modules(name: str, own_inputs: bool) -> None:
    modules = members(name)
    twins = copy.deepcopy(modules)
    x = torch.randn(*((T, N, D) if own_inputs else (N, D)), dtype=torch.float64)
    stacked = Stacked(modules)
    assert stacked.path == PATHS.get(name, "batched")
    out = stacked.forward_stacked(x) if own_inputs else stacked(x)
    expected = torch.stack([m(x[i] if own_inputs else x) for i, m in enumerate(twins)])
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-10)
    factor = torch.randn_like(out)
    (factor * out).sum().backward()
    (factor * expected).sum().backward()
    tables = [dict(m.named_parameters()) for m in twins]
    for key, weight in stacked.weights():
        theirs = torch.stack([table[key].grad for table in tables])
        if stacked.path == "loop":
            ours = torch.stack([m.get_parameter(key).grad for m in stacked.members])
        else:
            ours = weight.grad
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["mlp", "own module", "batch norm"])
def test_some_members(name: str) -> None:
    modules = members(name)
    x = torch.randn(N, D, dtype=torch.float64)
    expected = torch.stack([modules[2](x), modules[0](x)])
    torch.testing.assert_close(Stacked(modules)(x, [2, 0]), expected, rtol=0, atol=1e-10)


def test_one_parameter_per_layer_and_a_complete_state() -> None:
    stacked = Stacked(members("mlp"))
    assert [tuple(p.shape) for p in stacked.parameters()][:2] == [(T, 6, D), (T, 6)]
    other = Stacked([FACTORIES["mlp"]().double() for _ in range(T)])
    other.load_state_dict(stacked.state_dict())
    x = torch.randn(N, D, dtype=torch.float64)
    assert torch.equal(other(x), stacked(x))
    assert torch.equal(copy.deepcopy(stacked)(x), stacked(x))


def test_recurrent_modules_run_one_by_one() -> None:
    modules = [LastState() for _ in range(2)]
    stacked = Stacked(modules)
    x = torch.randn(N, D)
    assert stacked.path == "loop"
    torch.testing.assert_close(stacked(x), torch.stack([m(x) for m in modules]))
    assert {name: tuple(w.shape) for name, w in stacked.weights()}["rnn.bias_hh_l0"] == (2, 9)


@pytest.mark.parametrize("training", [True, False])
def test_attention_layers_have_gradients_in_both_modes(training: bool) -> None:
    modules = [nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True) for _ in range(2)]
    stacked = Stacked(modules).train(training)
    x = torch.randn(3, 5, 8)
    out = stacked(x)
    torch.testing.assert_close(out, torch.stack([m(x) for m in modules]), rtol=1e-4, atol=1e-5)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in stacked.parameters())


def test_different_shapes_are_refused() -> None:
    with pytest.raises(SettingError, match="0 and 1 differ"):
        Stacked([nn.Linear(3, 2), nn.Linear(3, 1)])
    with pytest.raises(SettingError, match="at least one"):
        Stacked([])
