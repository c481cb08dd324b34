"""Literal versions of the formulas, a row at a time, on the parameters of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polytask.sharing import Sharing
from polytask.sharing.stacked import Stacked

N_INPUTS = 5
HEADS = {"a": 1, "b": 3, "c": 2}

#: From one row of input to each task's outputs.
Twin = Callable[[Any, Tensor], dict[str, Tensor]]


def rows(n: int = 6, seed: int = 1) -> Tensor:
    return torch.randn(n, N_INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network(cls: Any, seed: int = 0, heads: dict[str, int] = HEADS, **settings: Any) -> Any:
    torch.manual_seed(seed)
    return cls.for_table(N_INPUTS, heads, **({"hidden": (6, 4)} | settings)).double()


def expert_of(stacked: Stacked, i: int, x: Tensor) -> Tensor:
    """Expert i of stacked MLPs: ReLU after each linear layer."""
    for name, weight in stacked.module.named_parameters():
        if name.endswith("weight"):
            bias = stacked.module.get_parameter(name.removesuffix("weight") + "bias")
            x = torch.relu(weight[i] @ x + bias[i])
    return x


def mlp_of(module: nn.Module, x: Tensor) -> Tensor:
    """An MLP with ReLU after each linear layer."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            x = torch.relu(layer.weight @ x + layer.bias)
    return x


def softmax(logits: Tensor) -> Tensor:
    e = torch.exp(logits - logits.max())
    return e / e.sum()


def mixture(weights: Tensor, outputs: Sequence[Tensor]) -> Tensor:
    """The sum of weight times output, expert by expert."""
    assert len(weights) == len(outputs)
    total = torch.zeros_like(outputs[0])
    for weight, output in zip(weights, outputs):
        total = total + weight * output
    return total


def head_of(net: Sharing, task: str, x: Tensor) -> Tensor:
    head = net.towers.module(task)
    return head.weight @ x + head.bias


def check_twin(net: Any, twin: Twin, x: Tensor) -> None:
    """Outputs and gradients of all parameters are those of the formulas."""
    literal = [twin(net, row) for row in x]
    expected = {task: torch.stack([row[task] for row in literal]) for task in net.tasks}
    found = net(x)
    generator = torch.Generator().manual_seed(7)
    loss_found = loss_expected = torch.zeros((), dtype=x.dtype)
    for task in net.tasks:
        torch.testing.assert_close(found[task], expected[task], rtol=0, atol=1e-10)
        factor = torch.randn(found[task].shape, dtype=x.dtype, generator=generator)
        loss_found = loss_found + (factor * found[task]).sum()
        loss_expected = loss_expected + (factor * expected[task]).sum()
    parameters = list(net.parameters())
    ours = torch.autograd.grad(loss_found, parameters)
    theirs = torch.autograd.grad(loss_expected, parameters, materialize_grads=True)
    assert any(bool(g.any()) for g in ours)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def check_own(net: Any, x: Tensor) -> None:
    """Rows for one task each get what `forward` gives them."""
    tasks = (torch.arange(len(x)) * 7) % len(net.tasks)
    torch.testing.assert_close(net.own(x, tasks), Sharing.own(net, x, tasks), rtol=0, atol=1e-10)


def check_cut(net: Any, x: Tensor) -> None:
    """All paths from shared parameters to outputs go through `features`: nothing else reaches them."""
    loss = net.table(x).square().sum()
    shared = list(net.shared_parameters())
    whole = torch.autograd.grad(loss, shared, retain_graph=True)
    features = net.features()
    (at_features,) = torch.autograd.grad(loss, features, retain_graph=True)
    through = torch.autograd.grad(features, shared, at_features)
    torch.testing.assert_close(through, whole, rtol=0, atol=1e-10)
