from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.conditioning import Gating
from polytask.sharing.conditioning.gating import group_masks
from polytask.testing import check_sharing

from .literal import SETTINGS, assert_is_literal, network

HEADS = {"a": 1, "b": 2, "c": 1}


def gated(w: Tensor, b: Tensor, h: Tensor, u: Tensor | None, z: Tensor | None) -> Tensor:
    h = torch.relu(w @ h + b)
    return h if u is None else h * (1 + u @ z)


@pytest.mark.parametrize("settings", SETTINGS)
def test_is_its_formula(settings: dict[str, Any]) -> None:
    assert_is_literal(network(Gating, **settings), gated, start=1.0)


def test_conforms() -> None:
    check_sharing(Gating)
    check_sharing(lambda n, heads: Gating.for_table(n, heads, groups=True))


def columns_of(group: int, units: int) -> slice:
    """Units of a group, by counting: the first groups get one more where they cannot be equal."""
    sizes = [units // 3 + (g < units % 3) for g in range(3)]
    return slice(sum(sizes[:group]), sum(sizes[: group + 1]))


def cut_out(net: Gating, task: str, t: int) -> nn.Sequential:
    """The independent network that the task's group of units is, from its own weights."""
    layers: list[nn.Module] = []
    before = slice(None)
    linears = [m for m in net.steps.modules() if isinstance(m, nn.Linear)]
    for linear in linears:
        mine = columns_of(t, linear.out_features)
        layers += [copied(linear.weight[mine, before], linear.bias[mine]), nn.ReLU()]
        before = mine
    head = net.towers.module if net.shared_head else net.towers.module(task)
    return nn.Sequential(*layers, copied(head.weight[:, before], head.bias))


def copied(weight: Tensor, bias: Tensor) -> nn.Linear:
    out = nn.Linear(weight.shape[1], weight.shape[0]).double()
    with torch.no_grad():
        out.weight.copy_(weight)
        out.bias.copy_(bias)
    return out


def of_group(net: Gating, t: int, name: str) -> list[Tensor]:
    """The same parameters (or their gradients) as views of the whole network's."""
    out, before = [], slice(None)
    for linear in [m for m in net.steps.modules() if isinstance(m, nn.Linear)]:
        mine = columns_of(t, linear.out_features)
        weight, bias = (getattr(p, name) for p in (linear.weight, linear.bias))
        out += [weight[mine, before], bias[mine]]
        before = mine
    head = net.towers.module(net.tasks[t])
    return [*out, getattr(head.weight, name)[:, before], getattr(head.bias, name)]


def into_masks(net: Gating) -> None:
    """Learned gates as the fixed ones."""
    for step in net._steps:
        if step.condition is not None:
            with torch.no_grad():
                for t, member in enumerate(step.condition.numbers.columns.members):
                    member.value.zero_()
                    member.value[columns_of(t, len(member.value))] = 1.0


@pytest.mark.parametrize("learned", [False, True])
def test_one_hot_gates_are_independent_networks(learned: bool) -> None:
    """Outputs, and gradients: those of the independent networks, and exactly zero for all other weights."""
    torch.manual_seed(0)
    net = Gating.for_table(4, HEADS, hidden=(7, 9), groups=not learned).double()
    if learned:
        into_masks(net)
    x = torch.randn(6, 4, dtype=torch.float64)
    alone = [cut_out(net, task, t) for t, task in enumerate(net.tasks)]
    outputs = net(x)
    for task, other in zip(net.tasks, alone):
        torch.testing.assert_close(outputs[task], other(x), rtol=0, atol=1e-12)
    sum(out.square().sum() for out in outputs.values()).backward()
    used = 0
    for t, other in enumerate(alone):
        other(x).square().sum().backward()
        views = of_group(net, t, "grad")
        for view, p in zip(views, other.parameters()):
            torch.testing.assert_close(view, p.grad, rtol=0, atol=1e-12)
        used += sum(int(view.count_nonzero()) for view in views)
    gates = {id(p) for step in net._steps if step.condition for p in step.condition.parameters()}
    weights = [p for p in net.parameters() if id(p) not in gates]
    assert sum(int(p.grad.count_nonzero()) for p in weights) == used


def test_groups_stay_independent_in_training() -> None:
    torch.manual_seed(0)
    net = Gating.for_table(4, HEADS, hidden=(6, 6), groups=True).double()
    alone = [cut_out(net, task, t) for t, task in enumerate(net.tasks)]
    before = net.table(torch.ones(1, 4, dtype=torch.float64))
    together = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    apart = torch.optim.SGD([p for other in alone for p in other.parameters()], lr=0.05, momentum=0.9)
    for _ in range(5):
        x = torch.randn(6, 4, dtype=torch.float64)
        for optimizer, outputs in (
            (together, list(net(x).values())),
            (apart, [other(x) for other in alone]),
        ):
            optimizer.zero_grad()
            sum((out - x[:, :1]).square().sum() for out in outputs).backward()
            optimizer.step()
    x = torch.randn(3, 4, dtype=torch.float64)
    for out, other in zip(net(x).values(), alone):
        torch.testing.assert_close(out, other(x), rtol=0, atol=1e-10)
    assert (net.table(torch.ones(1, 4, dtype=torch.float64)) - before).abs().max() > 0.01


def test_one_head_over_groups_sums_the_networks_of_all_tasks() -> None:
    """``y = Σ_j 1(z_i = j) y_j``, the lecture's gating."""
    torch.manual_seed(0)
    net = Gating.for_table(4, dict.fromkeys("abc", 2), hidden=(6, 9), groups=True, head="shared").double()
    x = torch.randn(5, 4, dtype=torch.float64)
    each = [cut_out(net, task, t)(x) for t, task in enumerate(net.tasks)]
    for i, task in enumerate(net.tasks):
        expected = sum((i == j) * y for j, y in enumerate(each))
        torch.testing.assert_close(net(x)[task], expected, rtol=0, atol=1e-12)


def test_feature_maps_are_gated_by_channel() -> None:
    """Also where the block flattens them: groups of channels are independent networks."""
    torch.manual_seed(0)
    encoder = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 4), nn.Tanh()
    )
    net = Gating({"a": 1, "b": 1}, encoder, groups=True, example=torch.zeros(2, 1, 6, 6)).double()
    assert [m.values.shape for m in net.conditions()] == [(2, 4), (2, 2), (2, 4)]
    x = torch.randn(3, 1, 6, 6, dtype=torch.float64)
    functional = nn.functional
    first, second = (m for m in encoder if isinstance(m, nn.Conv2d))
    linear = encoder[5]
    for t, task in enumerate(net.tasks):
        two = slice(2 * t, 2 * t + 2)
        h = functional.conv2d(x, first.weight[two], first.bias[two]).relu()
        h = functional.conv2d(h, second.weight[[t]][:, two], second.bias[[t]]).relu().flatten(1)
        h = torch.tanh(h @ linear.weight[two, 4 * t : 4 * t + 4].T + linear.bias[two])
        head = net.towers.module(task)
        expected = h @ head.weight[:, two].T + head.bias
        torch.testing.assert_close(net(x)[task], expected, rtol=0, atol=1e-12)


def test_groups_are_as_equal_as_can_be() -> None:
    assert group_masks(3, 7, 1).sum(1).tolist() == [3, 2, 2]
    assert group_masks(3, 7, 1).sum(0).tolist() == [1] * 7
    net = Gating.for_table(2, {"only": 1}, hidden=(3,), groups=True)
    assert net.conditions()[0].values.tolist() == [[1, 1, 1]]


def test_groups_are_checked() -> None:
    with pytest.raises(SettingError, match="block 2 among 3 tasks, but it has 2"):
        Gating.for_table(4, HEADS, hidden=(6, 2), groups=True)
    with pytest.raises(SettingError, match="leave descriptor='one-hot'"):
        Gating.for_table(4, HEADS, groups=True, descriptor="embedding")
