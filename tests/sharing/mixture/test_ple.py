from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polytask.errors import SettingError
from polytask.sharing.mixture import CGC, PLE
from polytask.testing import check_sharing

from .twins import (
    HEADS,
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
    {"n_shared": 1, "n_own": 2, "upper_hidden": (3,)},
    {"levels": 3, "n_own": 2},
    {"levels": 1},
    {"bottom": 1, "hidden": (6, 5, 4)},
    {"bottom": 1, "hidden": (6, 5, 4), "levels": 1},
]


def weights_of(gates: Any, k: int) -> Tensor:
    """A gate's W, whether it is a parameter of its own or one of a stack."""
    if hasattr(gates.linear, "members"):
        return gates.linear.members[k].weight
    return gates.linear.module.weight[k]


def twin(net: PLE, x: Tensor) -> dict[str, Tensor]:
    """g^{k,j} = softmax(W^{k,j} g^{k,j−1}) [E_{k,j}; E_{s,j}], and the shared gate over all experts of j."""
    if net.bottom is not None:
        x = mlp_of(net.bottom, x)
    streams = dict.fromkeys(range(len(net.tasks)), x)
    shared_stream = x
    for level in net.lower:
        n_own, position = level.n_own, 0
        own: dict[int, list[Tensor]] = {k: [] for k in streams}
        for k in streams:
            for _ in range(n_own):
                own[k].append(expert_of(level.experts, position, streams[k]))
                position += 1
        shared = [
            expert_of(level.experts, i, shared_stream) for i in range(position, position + level.n_shared)
        ]
        every = [output for outputs in own.values() for output in outputs] + shared
        new_shared = mixture(softmax(weights_of(level.shared_gate, 0) @ shared_stream), every)
        streams = {
            k: mixture(softmax(weights_of(level.gate, k) @ stream), own[k] + shared)
            for k, stream in streams.items()
        }
        shared_stream = new_shared
    top, out = net.top, {}
    shared = [expert_of(top.common, i, shared_stream) for i in range(len(top.common))]
    for k, task in enumerate(net.tasks):
        mine = [mlp_of(top.own.members[k * top.n_own + i], streams[k]) for i in range(top.n_own)]
        weights = softmax(weights_of(top.gate, k) @ streams[k])
        out[task] = head_of(net, task, mixture(weights, mine + shared))
    return out


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_is_its_formula(settings: dict[str, Any]) -> None:
    net = network(PLE, **settings)
    check_twin(net, twin, rows())
    check_own(net, rows(11))
    check_cut(net, rows())


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_conforms(settings: dict[str, Any]) -> None:
    check_sharing(lambda n_inputs, heads: PLE.for_table(n_inputs, heads, **settings))


def test_class_conforms() -> None:
    check_sharing(PLE)


def test_one_level_is_cgc() -> None:
    ple, cgc = network(PLE, levels=1), network(CGC)
    torch.testing.assert_close(ple.table(rows()), cgc.table(rows()), rtol=0, atol=0)


def test_below_the_top_experts_of_one_task_serve_all() -> None:
    """The shared gate sees them: a loss of task a moves the experts of task b at level 1, not at level 2."""
    net = network(PLE, n_own=1)
    net(rows(), {"a": None})["a"].square().sum().backward()
    lower = next(net.lower[0].experts.parameters()).grad
    assert all(bool(lower[i].any()) for i in range(5))
    assert all(p.grad is None for p in net.top.own.members[1].parameters())


def test_shared_experts_above_take_nothing_but_the_shared_gate() -> None:
    """With the shared gate on b's expert alone, the top's shared experts see that expert's output."""
    net = network(PLE, heads={"a": 1, "b": 1})
    x = rows().abs()
    with torch.no_grad():
        gate = net.lower[0].shared_gate.linear.module.weight
        gate.zero_()
        gate[0, 1] = 1e4
    level = net.lower[0]
    h = level.experts(x)
    torch.testing.assert_close(level.shared_stream(x, h.transpose(0, 1)), h[1], rtol=0, atol=1e-10)


def test_gates_have_a_row_for_the_shared_gate() -> None:
    net = network(PLE, levels=3, n_own=1, n_shared=2)
    found = net.gates(rows())
    assert [matrix.name for matrix in found] == ["level 1", "level 2", "level 3"]
    for matrix in found[:2]:
        assert matrix.rows == (*HEADS, "shared")
        assert np.isfinite(matrix.values[-1]).all()
    assert found[2].rows == tuple(HEADS)
    for matrix in found:
        assert matrix.columns == ("a 1", "b 1", "c 1", "shared 1", "shared 2")
        np.testing.assert_allclose(np.nansum(matrix.values, 1), 1)
        assert np.isnan(matrix.values).sum() == 6
    expected = sum(softmax(weights_of(net.lower[0].shared_gate, 0) @ row) for row in rows()) / 6
    np.testing.assert_allclose(found[0].values[-1], expected.detach().numpy())


def test_parts_follow_the_levels() -> None:
    parts = {part.name: part for part in network(PLE, heads={"a": 1, "b": 1}, levels=3).parts()}
    assert parts["level 1 gates"].is_shared
    assert parts["level 2 gate of a"].tasks == ("a",)
    assert parts["level 2 experts"].is_shared
    assert parts["level 3 experts of b"].tasks == ("b",)
    assert parts["level 3 experts of b"].inputs == ("level 2 experts", "level 2 gate of b")
    assert parts["level 3 shared experts"].inputs == ("level 2 experts", "level 2 shared gate")


def test_upper_experts_have_the_layers_asked_for() -> None:
    net = network(PLE, upper_hidden=(7, 3), dropout=0.2)
    assert [tuple(p.shape) for p in net.top.own.members[0].parameters() if p.dim() == 2] == [
        (7, 4),
        (3, 7),
        (4, 3),
    ]


@pytest.mark.parametrize("setting", ["levels", "n_shared", "n_own"])
def test_settings_are_checked(setting: str) -> None:
    with pytest.raises(SettingError, match=f"{setting} must be 1 or more, got 0"):
        network(PLE, **{setting: 0})
