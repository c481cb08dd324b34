from __future__ import annotations

import copy
import sys

import pytest
import torch
from torch import nn

from polytask.errors import SettingError
from polytask.sharing import Parallel, ParallelLinear, parallel
from polytask.sharing.parallel import batched_linear, fresh_copies

T, N, D = 4, 7, 5


@pytest.fixture(autouse=True, params=[0, 2**40], ids=["written out", "autograd"])
def _how_gradients_are_found(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of the batched product, whatever the size of its weights."""
    monkeypatch.setattr(sys.modules[Parallel.__module__], "WRITTEN_OUT_FROM", request.param)


class Residual(nn.Module):
    """A module that the fast path does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(D, D)
        self.scale = nn.Parameter(torch.rand(D))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.scale * torch.sin(self.inner(x))


FACTORIES = {
    "linear": lambda: nn.Linear(D, 3),
    "no bias": lambda: nn.Linear(D, 3, bias=False),
    "mlp": lambda: nn.Sequential(nn.Linear(D, 6), nn.ReLU(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2)),
    "nested with norm": lambda: nn.Sequential(
        nn.LayerNorm(D), nn.Sequential(nn.Linear(D, 6), nn.GELU()), nn.LayerNorm(6), nn.Linear(6, 2)
    ),
    "norm without affine": lambda: nn.Sequential(nn.Linear(D, 6), nn.LayerNorm(6, elementwise_affine=False)),
    "own module": lambda: nn.Sequential(Residual(), nn.Linear(D, 2)),
    "recurrent": lambda: nn.Sequential(nn.Unflatten(-1, (1, D)), nn.Conv1d(1, 2, 3), nn.Flatten()),
    "batch norm": lambda: nn.Sequential(nn.Linear(D, 4), nn.BatchNorm1d(4)),
}
PATHS = {"own module": "vmap", "recurrent": "vmap", "batch norm": "loop"}


def members(name: str) -> list[nn.Module]:
    torch.manual_seed(0)
    return [FACTORIES[name]().double() for _ in range(T)]


def gradients(modules: list[nn.Module]) -> list[torch.Tensor]:
    return [p.grad.clone() for m in modules for p in m.parameters()]


@pytest.mark.parametrize("name", FACTORIES)
@pytest.mark.parametrize("own_inputs", [False, True])
def test_equals_a_loop_over_the_modules(name: str, own_inputs: bool) -> None:
    modules = members(name)
    twins = copy.deepcopy(modules)
    x = torch.randn(*((T, N, D) if own_inputs else (N, D)), dtype=torch.float64)
    together = parallel(modules)
    assert together.path == PATHS.get(name, "batched")
    out = together.forward_stacked(x) if own_inputs else together(x)
    expected = torch.stack([m(x[i] if own_inputs else x) for i, m in enumerate(twins)])
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-10)
    factor = torch.randn_like(out)
    (factor * out).sum().backward()
    (factor * expected).sum().backward()
    torch.testing.assert_close(gradients(modules), gradients(twins), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["mlp", "own module", "batch norm"])
def test_members_that_are_not_asked_for_are_not_computed(name: str) -> None:
    modules = members(name)
    x = torch.randn(N, D, dtype=torch.float64)
    out = parallel(modules)(x, [2, 0])
    torch.testing.assert_close(out, torch.stack([modules[2](x), modules[0](x)]))
    out.sum().backward()
    assert all(p.grad is None for i in (1, 3) for p in modules[i].parameters())
    assert all(p.grad is not None for i in (0, 2) for p in modules[i].parameters())


@pytest.mark.parametrize("name", ["linear", "mlp", "nested with norm", "own module"])
def test_bound_parameters_are_rows_of_a_table(name: str) -> None:
    modules = members(name)
    twins = copy.deepcopy(modules)
    together = Parallel(modules)
    width = sum(p.numel() for p in modules[0].parameters())
    values = torch.empty(T, width, dtype=torch.float64)
    grads = torch.zeros(T * width, dtype=torch.float64)
    together.bind(values, grads)
    flat = torch.stack([torch.cat([p.detach().flatten() for p in m.parameters()]) for m in twins])
    torch.testing.assert_close(values, flat)
    x = torch.randn(N, D, dtype=torch.float64)
    together(x).square().sum().backward()
    for twin in twins:
        twin(x).square().sum().backward()
    start = 0
    for position, first in enumerate(twins[0].parameters()):
        stop = start + first.numel() * T
        expected = torch.stack([list(m.parameters())[position].grad for m in twins])
        torch.testing.assert_close(grads[start:stop].view(expected.shape), expected)
        start = stop
    values[1] = 0.0
    assert all(float(p.detach().abs().max()) == 0 for p in modules[1].parameters())
    together.unbind()
    values.fill_(7.0)
    assert all(float(p.detach().abs().max()) == 0 for p in modules[1].parameters())


def test_parallel_linear_is_its_formula() -> None:
    layer = ParallelLinear(T, D, 3).double()
    x = torch.randn(N, D, dtype=torch.float64)
    expected = torch.stack([x @ layer.weight[t] + layer.bias[t] for t in range(T)])
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-10)
    own = torch.randn(T, N, D, dtype=torch.float64)
    expected = torch.einsum("tnd,tdo->tno", own, layer.weight) + layer.bias[:, None]
    torch.testing.assert_close(layer(own), expected, rtol=0, atol=1e-10)
    assert torch.autograd.gradcheck(
        lambda w: torch.func.functional_call(layer, {"weight": w}, (own,)), layer.weight
    )


def test_dropout_is_drawn_for_each_member() -> None:
    torch.manual_seed(0)
    together = parallel([nn.Sequential(nn.Identity(), nn.Dropout(0.5)) for _ in range(3)])
    out = together(torch.ones(200, 4))
    assert not torch.equal(out[0], out[1])
    assert abs(float(out.mean()) - 1) < 0.1
    together.eval()
    assert torch.equal(together(torch.ones(200, 4)), torch.ones(3, 200, 4))


def test_different_shapes_are_refused() -> None:
    with pytest.raises(SettingError, match="0 and 1 differ"):
        parallel([nn.Linear(3, 2), nn.Linear(3, 1)])
    with pytest.raises(SettingError, match="at least one"):
        parallel([])


def test_fresh_copies_have_weights_of_their_own() -> None:
    first, second = fresh_copies(nn.Sequential(nn.Linear(3, 3)), 2)
    assert not torch.equal(first[0].weight, second[0].weight)


def test_products_differentiate_as_often_as_needed() -> None:
    torch.manual_seed(0)
    x, w, b = (
        torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((2, 3, 4), (2, 2, 4), (2, 2))
    )
    assert torch.autograd.gradcheck(batched_linear, (x, w, b))
    assert torch.autograd.gradgradcheck(batched_linear, (x, w, b))
    assert torch.autograd.gradcheck(lambda x, w: batched_linear(x, w, None), (x, w))


def test_products_go_through_vmap_and_batched_gradients() -> None:
    torch.manual_seed(0)
    x, w, b = torch.randn(5, 2, 3, 4), torch.randn(2, 2, 4, requires_grad=True), torch.randn(2, 2)
    found = torch.func.vmap(batched_linear, in_dims=(0, None, None))(x, w, b)
    torch.testing.assert_close(found, torch.stack([batched_linear(v, w, b) for v in x]))
    out = batched_linear(x[0], w, b)
    factors = torch.randn(3, *out.shape)
    (together,) = torch.autograd.grad(out, w, factors, is_grads_batched=True, retain_graph=True)
    one_by_one = [torch.autograd.grad(out, w, f, retain_graph=True)[0] for f in factors]
    torch.testing.assert_close(together, torch.stack(one_by_one))


def test_products_in_mixed_precision() -> None:
    torch.manual_seed(0)
    x, w = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 5, 4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = batched_linear(x, w, None)
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert x.grad is not None
    assert w.grad is not None
    torch.testing.assert_close(w.grad, x.detach().sum(1, keepdim=True).expand(2, 5, 4), rtol=2e-2, atol=2e-2)
