"""Linear layers of single tasks: what follows from D_t and W_t is what follows from D_t W_t."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from polytask.balancing import TaskLosses
from polytask.balancing.engines import descent
from polytask.balancing.engines.heads import Heads, linear_weights
from polytask.balancing.engines.problem import Problem

B, D = 6, 5
LAYOUTS = {"one output each": [0, 1, 2], "several outputs": [0, 0, 1, 2, 2, 2], "in any order": [2, 0, 1, 0]}


@pytest.mark.parametrize("task", LAYOUTS.values(), ids=LAYOUTS)
def test_nothing_has_to_be_formed(task: list[int]) -> None:
    torch.manual_seed(0)
    outer = [torch.randn(B, 1 + k % 2, dtype=torch.float64) for k in range(len(task))]
    weight = [torch.randn(o.shape[1], D, dtype=torch.float64) for o in outer]
    heads = Heads(outer, weight, task, 3)
    literal = torch.stack([sum(o @ w for o, w, t in zip(outer, weight, task) if t == s) for s in range(3)])
    torch.testing.assert_close(heads.stack(), literal, rtol=0, atol=1e-12)
    flat = literal.flatten(1)
    torch.testing.assert_close(heads.gramian(), flat @ flat.T, rtol=0, atol=1e-12)
    w = torch.randn(3, dtype=torch.float64)
    torch.testing.assert_close(heads.weighted(w), torch.tensordot(w, literal, 1), rtol=0, atol=1e-12)


class Net(nn.Module):
    """Heads of one, three and no bias, and a task with two of them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.encoder = nn.Sequential(nn.Linear(4, D), nn.Tanh())
        self.heads = nn.ModuleList([nn.Linear(D, 1), nn.Linear(D, 3), nn.Linear(D, 2, bias=False)])
        self.second = nn.Sequential(nn.Linear(D, 2), nn.Tanh())
        self.double()

    def losses(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        h = self.encoder(x)
        out = {f"t{i}": head(h).square().mean() for i, head in enumerate(self.heads)}
        out["t0"] = out["t0"] + self.second(h).sum()
        return out, h


def problem(at_features: bool) -> Problem:
    net = Net()
    losses, h = net.losses(torch.randn(B, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2)))
    shared = {p: name for name, p in net.encoder.named_parameters()}
    out = Problem(TaskLosses.of(losses), shared, h, at_features=at_features)
    out.sweep()
    return out


@pytest.mark.parametrize("at_features", [True, False])
def test_the_way_of_linear_heads_is_the_way_of_all(
    at_features: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = torch.tensor([0.2, 1.5, -0.3], dtype=torch.float64)
    found = []
    for linear in (True, False):
        if not linear:
            monkeypatch.setattr(descent, "linear_weights", lambda *_: None)
        one = problem(at_features)
        assert (one.arrival.heads is not None) == linear
        gradients: dict[Tensor, Tensor] = {}
        one.add_own(gradients)
        one.add_weighted(weights, gradients)
        found.append(
            (one.gramian(), [g for _, g in sorted(gradients.items(), key=lambda item: item[0].numel())])
        )
    assert len(found[0][1]) == 2 + 5 + 2
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-12)


def test_only_plain_products_with_the_representation_count() -> None:
    x = torch.randn(B, 4, requires_grad=True)
    h = x * 2
    sequence = torch.randn(B, 3, 4, requires_grad=True) * 2
    w, b = torch.randn(4, 2, requires_grad=True), torch.randn(2, requires_grad=True)
    cases = [
        (h, h @ w, 0, True),
        (h, torch.addmm(b, h, w), 1, True),
        (h, torch.addmm(b, h, w, alpha=2.0), 1, False),
        (h, torch.relu(h), 0, False),
        (h, w.T @ h.T, 1, False),
        (sequence, torch.relu(sequence), 0, False),
    ]
    for at, out, position, fits in cases:
        found = linear_weights([(out.grad_fn, position, 0)], (at.grad_fn, 0))
        assert (found is not None) == fits
    assert torch.equal(linear_weights([((h @ w).grad_fn, 0, 0)], (h.grad_fn, 0))[0], w.T)
    leaf = torch.randn(B, 4, requires_grad=True)
    node = (leaf @ w).grad_fn
    assert linear_weights([(node, 0, 0)], node.next_functions[0]) is None
