from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polytask.errors import SettingError
from polytask.sharing.mixture import CGC
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
    {"n_shared": 1, "n_own": 3},
    {"bottom": 1, "hidden": (6, 5, 4)},
]


def twin(net: CGC, x: Tensor) -> dict[str, Tensor]:
    """g^k(x) = softmax(W_g^k x) [E_k; E_s], y^k = t^k(g^k(x))."""
    if net.bottom is not None:
        x = mlp_of(net.bottom, x)
    level, out = net.level, {}
    shared = [expert_of(level.common, i, x) for i in range(len(level.common))]
    for k, task in enumerate(net.tasks):
        own = [mlp_of(level.own.members[k * level.n_own + i], x) for i in range(level.n_own)]
        weights = softmax(level.gate.linear.members[k].weight @ x)
        out[task] = head_of(net, task, mixture(weights, [*own, *shared]))
    return out


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_is_its_formula(settings: dict[str, Any]) -> None:
    net = network(CGC, **settings)
    check_twin(net, twin, rows())
    check_own(net, rows(11))
    check_cut(net, rows())


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_conforms(settings: dict[str, Any]) -> None:
    check_sharing(lambda n_inputs, heads: CGC.for_table(n_inputs, heads, **settings))


def test_class_conforms() -> None:
    check_sharing(CGC)


def test_experts_of_tasks_that_are_not_asked_for_are_not_computed() -> None:
    net = network(CGC)
    with torch.no_grad():
        for p in net.task_parameters("b"):
            p.fill_(torch.nan)
    out = net(rows(), {"c": None, "a": torch.tensor([2, 0])})
    assert bool(torch.isfinite(out["a"]).all())
    assert bool(torch.isfinite(out["c"]).all())
    assert net.flops(["a"]) < net.flops(["a", "b"]) < net.flops()


def test_the_order_in_which_tasks_are_asked_for_does_not_matter() -> None:
    net = network(CGC, heads={"a": 1, "b": 1, "c": 1}, n_own=2)
    every = net(rows())
    for task, output in net(rows(), {"c": None, "a": None, "b": None}).items():
        torch.testing.assert_close(output, every[task], rtol=0, atol=1e-10)


def test_gates_know_whose_experts_they_see() -> None:
    net = network(CGC, n_own=2, n_shared=1)
    (found,) = net.gates(rows())
    assert found.rows == tuple(HEADS)
    assert found.columns == ("a 1", "a 2", "b 1", "b 2", "c 1", "c 2", "shared 1")
    seen = np.array([[1, 1, 0, 0, 0, 0, 1], [0, 0, 1, 1, 0, 0, 1], [0, 0, 0, 0, 1, 1, 1]], dtype=bool)
    assert (np.isnan(found.values) == ~seen).all()
    np.testing.assert_allclose(np.nansum(found.values, 1), 1)
    expected = sum(softmax(net.level.gate.linear.members[1].weight @ row) for row in rows()) / 6
    np.testing.assert_allclose(found.values[1, [2, 3, 6]], expected.detach().numpy())


@pytest.mark.parametrize("setting", ["n_shared", "n_own"])
def test_settings_are_checked(setting: str) -> None:
    with pytest.raises(SettingError, match=f"{setting} must be 1 or more, got 0"):
        network(CGC, **{setting: 0})
