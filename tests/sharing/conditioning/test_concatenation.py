from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.conditioning import Additive, Concatenation
from polytask.testing import check_sharing

from .literal import FEATURES, SETTINGS, assert_is_literal, network, same_with_gradients, shaken


def widened(w: Tensor, b: Tensor, h: Tensor, u: Tensor | None, z: Tensor | None) -> Tensor:
    if u is None:
        return torch.relu(w @ h + b)
    return torch.relu(torch.cat([w, u], 1) @ torch.cat([h, z]) + b)


@pytest.mark.parametrize("settings", SETTINGS)
def test_is_its_formula(settings: dict[str, Any]) -> None:
    assert_is_literal(network(Concatenation, **settings), widened)


def test_conforms() -> None:
    check_sharing(Concatenation)
    check_sharing(lambda n, heads: Concatenation.for_table(n, heads, at="first", descriptor="embedding"))


@pytest.mark.parametrize("at", ["first", "all"])
@pytest.mark.parametrize("descriptor", ["one-hot", "embedding", FEATURES])
def test_is_additive_conditioning(at: str, descriptor: Any) -> None:
    """``[W, U][h; z] = W h + U z``: the wide layers' own products, and the additive network's."""
    torch.manual_seed(0)
    settings = {"hidden": (4, 5), "at": at, "descriptor": descriptor}
    heads = {"a": 1, "b": 2, "c": 1}
    concatenated = Concatenation.for_table(3, heads, **settings).double()
    added = Additive.for_table(3, heads, **settings).double()
    mapped(concatenated, added)
    x = torch.randn(6, 3, dtype=torch.float64)
    torch.testing.assert_close(added.table(x), concatenated.table(x), rtol=0, atol=1e-12)
    for t, task in enumerate(added.tasks):
        z = added.descriptor([t]).expand(len(x), -1)
        h = x
        for steps in added._blocks:
            (layer,) = [m for step in steps for m in step.module.modules() if isinstance(m, nn.Linear)]
            (condition,) = [step.condition for step in steps if step.condition is not None] or [None]
            if condition is None:
                h = layer(h).relu()
                continue
            u = added_matrix(condition.numbers)
            wide = nn.Linear(layer.in_features + z.shape[1], layer.out_features).double()
            with torch.no_grad():
                wide.weight.copy_(torch.cat([layer.weight, u], 1))
                wide.bias.copy_(layer.bias)
            h = wide(torch.cat([h, z], 1)).relu()
        torch.testing.assert_close(added(x)[task], added.towers.module(task)(h), rtol=0, atol=1e-12)


def mapped(source: nn.Module, target: nn.Module) -> None:
    """All weights of one to the other, in their order; their shapes are the same ones."""
    theirs, ours = list(source.parameters()), list(target.parameters())
    assert [p.shape for p in theirs] == [p.shape for p in ours]
    with torch.no_grad():
        for a, b in zip(theirs, ours):
            b.copy_(a)


def added_matrix(numbers: nn.Module) -> Tensor:
    columns = getattr(numbers, "columns", None)
    return numbers.weight if columns is None else torch.stack([m.value for m in columns.members], 1)


@pytest.mark.parametrize(
    "conv",
    [
        {"padding": 1},
        {"padding": 1, "padding_mode": "circular", "bias": False},
        {"stride": 2, "padding": (0, 2)},
        {"dilation": 2, "padding": "same"},
    ],
)
@pytest.mark.parametrize("descriptor", ["one-hot", "embedding"])
def test_convolutions_take_z_as_constant_channels(conv: dict[str, Any], descriptor: str) -> None:
    """The wide convolution itself over maps with z beside them, borders included."""
    torch.manual_seed(0)
    first = nn.Conv2d(2, 3, 3, **conv)
    second = nn.Conv2d(3, 2, (1, 2))
    encoder = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    example = torch.zeros(2, 2, 5, 4)
    net = Concatenation({"a": 1, "b": 2}, encoder, descriptor=descriptor, example=example).double()
    shaken(net)
    conditions = [step.condition for step in net._steps if step.condition is not None]
    x = torch.randn(3, 2, 5, 4, dtype=torch.float64)
    expected = {}
    for t, task in enumerate(net.tasks):
        z, h = net.descriptor([t])[0], x
        for layer, condition in zip((first, second), conditions):
            numbers = condition.numbers
            if descriptor == "one-hot":
                u = torch.stack([m.value for m in numbers.columns.members], 1)
            else:
                u = numbers.weight.unflatten(0, numbers.shape).movedim(-1, 1)
            maps = z.view(1, -1, 1, 1).expand(len(x), -1, *h.shape[2:])
            wide = {"weight": torch.cat([layer.weight, u], 1)}
            h = torch.func.functional_call(layer, wide, torch.cat([h, maps], 1)).relu()
        expected[task] = net.towers.module(task)(h.mean((2, 3)))
    same_with_gradients(net, net(x), expected)
    of_row = torch.tensor([1, 0, 1])
    own = net.own(x, of_row)
    torch.testing.assert_close(own[0], expected["b"][0], rtol=0, atol=1e-10)
    torch.testing.assert_close(own[1, :1], expected["a"][1], rtol=0, atol=1e-10)


def test_images_of_another_size() -> None:
    """z is as large as what comes, not as the example was."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv1d(1, 2, 3, padding=1), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    net = Concatenation({"a": 1, "b": 1}, encoder, example=torch.zeros(2, 1, 5))
    (condition,) = [step.condition for step in net._steps if step.condition is not None]
    x = torch.randn(3, 1, 9)
    z = condition.numbers.columns.members[1].value
    pooled = nn.functional.conv1d(torch.ones(1, 1, 9), z.unsqueeze(1), padding=1).mean(2)
    expected = net.towers.module("b")(encoder[0](x).mean(2) + pooled)
    torch.testing.assert_close(net(x)["b"], expected)


def test_new_weights_are_drawn_as_those_of_the_wide_layer() -> None:
    torch.manual_seed(0)
    net = Concatenation.for_table(100, dict.fromkeys("abcdefghij", 1), hidden=(400,))
    (condition,) = [step.condition for step in net._steps if step.condition is not None]
    drawn = added_matrix(condition.numbers).detach()
    bound = 1 / math.sqrt(110)
    assert drawn.abs().max() <= bound
    assert abs(float(drawn.std()) / (bound / math.sqrt(3)) - 1) < 0.05


def test_blocks_that_take_nothing_more_are_refused() -> None:
    encoder = nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(12, 5))
    tokens = torch.zeros(2, 3, dtype=torch.int64)
    with pytest.raises(SettingError, match=r"Block 1 .*Sequential.*'additive' or 'film'"):
        Concatenation({"a": 1}, encoder, example=tokens)
    net = Concatenation({"a": 1, "b": 1}, encoder, example=tokens, at=[2])
    assert net(torch.randint(7, (4, 3)))["b"].shape == (4, 1)
    depthwise = nn.Sequential(nn.Conv1d(4, 4, 3, groups=4), nn.Flatten())
    with pytest.raises(SettingError, match=r"Block 1 .*one group"):
        Concatenation({"a": 1}, depthwise, example=torch.zeros(2, 4, 5))
