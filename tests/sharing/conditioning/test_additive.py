from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polytask.sharing.conditioning import Additive
from polytask.testing import check_sharing

from .literal import SETTINGS, assert_is_literal, network, shaken


def shifted(w: Tensor, b: Tensor, h: Tensor, u: Tensor | None, z: Tensor | None) -> Tensor:
    return torch.relu(w @ h + b if u is None else w @ h + b + u @ z)


@pytest.mark.parametrize("settings", SETTINGS)
def test_is_its_formula(settings: dict[str, Any]) -> None:
    assert_is_literal(network(Additive, **settings), shifted)


def test_conforms() -> None:
    check_sharing(Additive)
    check_sharing(lambda n, heads: Additive.for_table(n, heads, at="last", descriptor="embedding"))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x).relu()


def test_a_block_without_a_first_layer_is_shifted_at_its_output() -> None:
    torch.manual_seed(0)
    net = shaken(
        Additive({"a": 1, "b": 1}, [Residual(), nn.Linear(3, 2)], example=torch.zeros(2, 3)).double()
    )
    block, linear = net._steps[0].module, net._steps[1].module
    shifts = [step.condition.numbers.columns.members for step in net._steps]
    x = torch.randn(4, 3, dtype=torch.float64)
    for t, task in enumerate(net.tasks):
        h = linear(block(x) + shifts[0][t].value) + shifts[1][t].value
        torch.testing.assert_close(net(x)[task], net.towers.module(task)(h), rtol=0, atol=1e-12)


def test_a_shift_comes_before_normalisation_and_activation() -> None:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 4), nn.LayerNorm(4), nn.ReLU())
    net = shaken(Additive({"a": 1, "b": 1}, encoder, example=torch.zeros(2, 3)).double())
    (condition,) = [step.condition for step in net._steps if step.condition is not None]
    x = torch.randn(4, 3, dtype=torch.float64)
    for t, task in enumerate(net.tasks):
        h = encoder[1](encoder[0](x)) + condition.numbers.columns.members[t].value
        expected = net.towers.module(task)(encoder[2](h).relu())
        torch.testing.assert_close(net(x)[task], expected, rtol=0, atol=1e-12)
