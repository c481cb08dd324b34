from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polytask.errors import PolytaskWarning, SettingError
from polytask.sharing.mixture import DSelectK
from polytask.sharing.mixture.selectors import LOST, TINY, SelectorGates, code_weights, smooth_step
from polytask.testing import check_sharing

from .twins import (
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

SETTINGS: list[dict[str, Any]] = [
    {},
    {"per_example": True},
    {"n_experts": 5, "k": 3},
    {"n_experts": 6, "k": 1, "per_example": True, "gamma": 0.7},
    {"n_experts": 1, "k": 1},
    {"n_experts": 3, "per_example": True, "bottom": 1, "hidden": (6, 5, 4)},
]


def literal_step(t: Tensor, gamma: float) -> Tensor:
    if t <= -gamma / 2:
        return torch.zeros_like(t)
    if t >= gamma / 2:
        return torch.ones_like(t)
    return -2 * t**3 / gamma**3 + 3 * t / (2 * gamma) + 0.5


def selector(z: Tensor, n_experts: int, gamma: float) -> Tensor:
    """r(z)_i: a product over binary places, expert by expert."""
    found = []
    for code in range(n_experts):
        weight = torch.ones((), dtype=z.dtype)
        for j in range(len(z)):
            step = literal_step(z[j], gamma)
            weight = weight * (step if (code >> j) & 1 else 1 - step)
        found.append(weight)
    return torch.stack(found)


def logits_of(net: DSelectK, k: int, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """α and the z⁽ⁱ⁾ of a task's gate."""
    gate, member = net.gate, net.gate.logits.members[k]
    logits = member.weight @ x if gate.per_example else member.value
    z = logits[gate.k :]
    return logits[: gate.k], [z[i * gate.n_bits : (i + 1) * gate.n_bits] for i in range(gate.k)]


def gate_of(net: DSelectK, k: int, x: Tensor) -> Tensor:
    """q(α, z) = Σ_i σ(α)_i r(z⁽ⁱ⁾)."""
    alpha, codes = logits_of(net, k, x)
    share = softmax(alpha)
    return sum(share[i] * selector(z, net.gate.n_experts, net.gate.gamma) for i, z in enumerate(codes))


def twin(net: DSelectK, x: Tensor) -> dict[str, Tensor]:
    if net.bottom is not None:
        x = mlp_of(net.bottom, x)
    outputs = [expert_of(net.experts, i, x) for i in range(len(net.experts))]
    return {
        task: head_of(net, task, mixture(gate_of(net, k, x), outputs)) for k, task in enumerate(net.tasks)
    }


def spread_out(net: DSelectK) -> DSelectK:
    """Some codes settled, some not."""
    with torch.no_grad():
        for p in net.gate.parameters():
            p.normal_(std=0.4 * net.gate.gamma)
    return net


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_is_its_formula(settings: dict[str, Any]) -> None:
    net = spread_out(network(DSelectK, **settings))
    check_twin(net, twin, rows())
    check_own(net, rows(11))
    check_cut(net, rows())


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_penalty_is_its_formula(settings: dict[str, Any]) -> None:
    net = spread_out(network(DSelectK, **settings, entropy=0.3, reach=0.2))
    x = rows()
    net(x)
    expected = torch.zeros((), dtype=x.dtype)
    for row in x:
        seen = row if net.bottom is None else mlp_of(net.bottom, row).detach()
        for k in range(len(net.tasks)):
            for z in logits_of(net, k, seen)[1]:
                r = selector(z, net.gate.n_experts, net.gate.gamma)
                expected = expected - 0.3 * (r * torch.log(r + TINY)).sum() / len(x)
                if net.gate.n_experts not in (2, 4, 8):
                    expected = expected + 0.2 * (1 / (r.sum() + LOST) - 1 / (1 + LOST)) / len(x)
    found = net.penalty()
    if net.gate.n_experts == 1:
        assert found is None
        return
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    gates = list(net.gate.parameters())
    ours = torch.autograd.grad(found, gates)
    theirs = torch.autograd.grad(expected, gates, materialize_grads=True)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_conforms(settings: dict[str, Any]) -> None:
    check_sharing(lambda n_inputs, heads: DSelectK.for_table(n_inputs, heads, **settings))


def test_class_conforms() -> None:
    check_sharing(DSelectK)


def test_smooth_step() -> None:
    gamma = 0.6
    t = torch.tensor([-1.0, -0.3, 0.0, 0.3, 2.0], dtype=torch.float64, requires_grad=True)
    step = smooth_step(t, gamma)
    torch.testing.assert_close(step, torch.tensor([0, 0, 0.5, 1, 1], dtype=torch.float64))
    (slope,) = torch.autograd.grad(step.sum(), t)
    torch.testing.assert_close(slope, torch.tensor([0, 0, 1.5 / gamma, 0, 0], dtype=torch.float64))
    inner = torch.linspace(-0.5, 0.5, 41, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: smooth_step(v, gamma), inner)
    near = torch.tensor([-0.3 + 1e-7, 0.3 - 1e-7], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(smooth_step(near, gamma).sum(), near)
    assert float(slope.abs().max()) < 1e-5


def test_codes_are_binary_numbers() -> None:
    for number in range(8):
        bits = torch.tensor([(number >> j) & 1 for j in range(3)], dtype=torch.float64)
        assert code_weights(bits).nonzero().squeeze().item() == number
    torch.testing.assert_close(code_weights(torch.rand(5, 2, 3)).sum(-1), torch.ones(5, 2))


@pytest.mark.parametrize("per_example", [False, True])
def test_settled_gates_take_at_most_k_experts(per_example: bool) -> None:
    torch.manual_seed(0)
    gates = SelectorGates(4, 3, 8, 2, 1.0, per_example)
    with torch.no_grad():
        for p in gates.parameters():
            p.copy_(torch.randn_like(p).sign() * 20)
    weights = gates(torch.randn(50, 3).sign() * 3)
    assert int((weights > 0).sum(-1).max()) == 2
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))


@pytest.mark.parametrize("n_experts", [4, 5])
def test_training_settles_gates_on_k_experts(n_experts: int) -> None:
    net = network(DSelectK, n_experts=n_experts, k=2, entropy=0.03)
    x = rows(32)
    y = torch.randn(32, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    assert int((net.gate(x) > 0).sum(-1).min()) == n_experts
    for _ in range(200):
        optimizer.zero_grad()
        loss = (net.table(x) - y).square().mean() + net.penalty()
        loss.backward()
        optimizer.step()
    weights = net.gate(x).detach()
    assert int((weights > 1e-6).sum(-1).max()) <= 2
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 1, dtype=torch.float64), rtol=0, atol=1e-6)


def test_experts_that_no_task_takes_are_not_computed_in_prediction() -> None:
    net = network(DSelectK, n_experts=4, k=1)
    with torch.no_grad():
        for k, code in enumerate(([1, -1], [-1, 1], [1, -1])):
            net.gate.logits.members[k].value[1:] = torch.tensor(code, dtype=torch.float64)
    wanted = net(rows())
    with torch.no_grad():
        for weight in net.experts.module.parameters():
            weight[[0, 3]] = torch.nan
        found = net(rows())
        assert net.flops(["a", "c"]) < net.flops(["a", "b"]) < network(DSelectK, n_experts=4).flops()
    for task, output in wanted.items():
        torch.testing.assert_close(found[task], output.detach(), rtol=0, atol=1e-10)


def test_penalty_leaves_the_gates_of_absent_tasks_alone() -> None:
    net = network(DSelectK)
    loss = net(rows(), {"b": None})["b"].sum() + net.penalty()
    loss.backward()
    assert all(p.grad is None for task in "ac" for p in net.task_parameters(task))
    assert all(bool(p.grad.any()) for p in net.gate.parameters_of(1))


def test_penalty_after_a_backward_pass_of_the_losses() -> None:
    net = network(DSelectK, per_example=True, bottom=1)
    net.table(rows()).sum().backward()
    net.penalty().backward()
    assert copy.deepcopy(net).penalty() is not None


def test_no_penalty_where_there_is_nothing_to_settle() -> None:
    assert network(DSelectK, entropy=0.0).penalty() is None
    assert network(DSelectK, entropy=0.0, n_experts=5).penalty() is not None
    assert network(DSelectK, entropy=0.0, n_experts=5, reach=0.0).penalty() is None


def test_unused_experts_are_no_fault_but_collapse_is() -> None:
    net = network(DSelectK, n_experts=4, k=1, hidden=(16, 8))
    with torch.no_grad():
        for k, code in enumerate(([1, -1], [-1, 1], [1, -1])):
            net.gate.logits.members[k].value[1:] = torch.tensor(code, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = net.gates(rows(40))
    np.testing.assert_array_equal(found.values, [[0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]])
    with torch.no_grad():
        net.gate.logits.members[1].value[1:] = torch.tensor([1.0, -1.0])
    with pytest.warns(PolytaskWarning, match="on expert 2"):
        net.gates(rows(40))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "k must be from 1 to n_experts=8, got 0"),
        ({"k": 9}, "k must be from 1 to n_experts=8, got 9"),
        ({"gamma": 0.0}, "gamma must be more than zero"),
        ({"entropy": -1.0}, "entropy must be zero or more"),
        ({"reach": -1.0}, "reach must be zero or more"),
    ],
    ids=str,
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        network(DSelectK, **settings)


def test_selectors_that_have_not_settled_are_reported() -> None:
    net = network(DSelectK, n_experts=8, k=2)
    with pytest.warns(PolytaskWarning, match="takes 8 experts, where 2 are to be selected"):
        net.gates(torch.zeros(3, net.input_shape[0], dtype=torch.float64))
