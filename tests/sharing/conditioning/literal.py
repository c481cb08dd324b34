"""f(x, z_t) task by task, row by row and layer by layer, as the lecture writes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from polytask.sharing.conditioning.base import Conditioned
from polytask.sharing.conditioning.numbers import OwnNumbers
from polytask.sharing.conditioning.steps import Condition

HEADS = {"a": 1, "b": 2, "c": 1}
FEATURES = {"a": [1.0, -0.5], "b": [0.0, 2.0], "c": [0.3, 0.7]}
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"descriptor": "embedding", "dimension": 3},
    {"descriptor": FEATURES},
    {"at": "first"},
    {"at": "last", "descriptor": "embedding"},
    {"at": [1, 3], "head": "shared"},
)

#: (W, b, h, U, z) → what the layer returns; U and z are None where z does not act.
Formula = Callable[[Tensor, Tensor, Tensor, Tensor | None, Tensor | None], Tensor]


def network(cls: type[Conditioned], **settings: Any) -> Conditioned:
    """Over three layers, all parameters away from where they begin."""
    torch.manual_seed(0)
    heads = dict.fromkeys(HEADS, 2) if settings.get("head") == "shared" else HEADS
    net = cls.for_table(3, heads, hidden=(4, 5, 6), **settings).double()
    return shaken(net)


def shaken(net: Conditioned) -> Conditioned:
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return net


def matrix(condition: Condition, start: float | Tensor = 0.0) -> Tensor:
    """U of ``start + U z``: (shape of the numbers, d)."""
    numbers = condition.numbers
    if isinstance(numbers, OwnNumbers):
        return torch.stack([m.value - start for m in numbers.columns.members], -1)
    (weight,) = numbers.common_parameters()
    return weight.view(*numbers.shape, -1)


def descriptor(net: Conditioned, t: int) -> Tensor:
    """z_t, not by the network's own way where it is one-hot."""
    if net.describe()["settings"].get("descriptor", "one-hot") == "one-hot":
        return nn.functional.one_hot(torch.tensor(t), len(net.tasks)).double()
    return net.descriptor([t])[0]


def literal(net: Conditioned, x: Tensor, formula: Formula, start: float | Tensor = 0.0) -> dict[str, Tensor]:
    out = {}
    for t, task in enumerate(net.tasks):
        z = descriptor(net, t)
        rows = []
        for h in x:
            for steps in net._blocks:
                (layer,) = [m for step in steps for m in step.module.modules() if isinstance(m, nn.Linear)]
                (condition,) = [step.condition for step in steps if step.condition is not None] or [None]
                u = None if condition is None else matrix(condition, start)
                h = formula(layer.weight, layer.bias, h, u, None if u is None else z)
            head = net.towers.module if net.shared_head else net.towers.module(task)
            rows.append(head.weight @ h + head.bias)
        out[task] = torch.stack(rows)
    return out


def assert_is_literal(net: Conditioned, formula: Formula, start: float | Tensor = 0.0) -> None:
    """Outputs and gradients in all parameters."""
    torch.manual_seed(1)
    x = torch.randn(4, 3, dtype=torch.float64)
    same_with_gradients(net, net(x), literal(net, x, formula, start))


def same_with_gradients(net: nn.Module, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    parameters = list(net.parameters())
    factors = {task: torch.randn_like(out) for task, out in ours.items()}
    gradients = []
    for outputs in (ours, theirs):
        total = sum((factors[task] * out).sum() for task, out in outputs.items())
        gradients.append(torch.autograd.grad(total, parameters))
    for task in ours:
        torch.testing.assert_close(ours[task], theirs[task], rtol=0, atol=1e-10)
    assert all(g.any() for g in gradients[0])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-10)
