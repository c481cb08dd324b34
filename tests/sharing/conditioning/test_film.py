from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polytask.sharing.conditioning import FiLM
from polytask.testing import check_sharing

from .literal import SETTINGS, assert_is_literal, network, same_with_gradients, shaken


def modulated(w: Tensor, b: Tensor, h: Tensor, u: Tensor | None, z: Tensor | None) -> Tensor:
    h = torch.relu(w @ h + b)
    return h if u is None else (1 + u[0] @ z) * h + u[1] @ z


@pytest.mark.parametrize("settings", SETTINGS)
def test_is_its_formula(settings: dict[str, Any]) -> None:
    start = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    assert_is_literal(network(FiLM, **settings), modulated, start)


def test_conforms() -> None:
    check_sharing(FiLM)
    check_sharing(lambda n, heads: FiLM.for_table(n, heads, at="last", descriptor="embedding"))


def test_feature_maps_are_modulated_by_channel() -> None:
    torch.manual_seed(0)
    conv, linear = nn.Conv2d(2, 3, 3, padding=1), nn.Linear(12, 4)
    encoder = nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), linear)
    net = shaken(FiLM({"a": 1, "b": 2}, encoder, example=torch.zeros(2, 2, 4, 4)).double())
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    maps, units = (step.condition for step in net._steps if step.condition is not None)
    expected = {}
    for t, task in enumerate(net.tasks):
        rows = []
        for image in x:
            (gamma, beta), (gamma_2, beta_2) = (c.numbers.columns.members[t].value for c in (maps, units))
            h = nn.functional.max_pool2d(conv(image).relu(), 2)
            h = torch.stack([gamma[c] * h[c] + beta[c] for c in range(3)])
            h = gamma_2 * linear(h.flatten()) + beta_2
            rows.append(net.towers.module(task)(h))
        expected[task] = torch.stack(rows)
    same_with_gradients(net, net(x), expected)
