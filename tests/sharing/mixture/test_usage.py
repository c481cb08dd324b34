from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from polytask.errors import PolytaskWarning
from polytask.sharing.mixture import CGC, PLE, MMoE
from polytask.sharing.mixture.usage import warn_of_collapse
from polytask.sharing.parts import Matrix

from .twins import network, rows

POSITIVE = rows(40).abs()


def on_expert(gates: Any, k: int, expert: int) -> None:
    """Let gate k put all its weight on one expert for positive inputs."""
    with torch.no_grad():
        weight = gates.linear.members[k].weight
        weight.zero_()
        weight[expert] = 50.0


@pytest.mark.parametrize("cls", [MMoE, CGC, PLE])
def test_a_fresh_network_gives_no_warning(cls: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network(cls, hidden=(16, 8)).gates(rows(40))


def test_collapse_names_the_expert_and_what_to_do() -> None:
    net = network(MMoE, n_experts=3)
    for k in range(3):
        on_expert(net.gate, k, 1)
    with pytest.warns(PolytaskWarning, match=r"on expert 2.*collapsed.*gate_dropout=0\.1") as caught:
        net.gates(POSITIVE)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_tasks_on_experts_of_their_own_have_not_collapsed() -> None:
    net = network(MMoE, n_experts=3)
    for k in range(3):
        on_expert(net.gate, k, k)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.gates(POSITIVE)


def test_unused_experts_are_named() -> None:
    net = network(MMoE, n_experts=4)
    for k in range(3):
        on_expert(net.gate, k, 2 * (k % 2))
    with pytest.warns(PolytaskWarning, match=r"no gate uses expert 2, expert 4 \("):
        net.gates(POSITIVE)


def test_a_shared_expert_that_all_take_alone_is_collapse_of_cgc() -> None:
    net = network(CGC, hidden=(16, 8), n_shared=2)
    for k in range(3):
        on_expert(net.level.gate, k, 2)
    with pytest.warns(PolytaskWarning, match="on shared 2"):
        net.gates(POSITIVE)
    for k in range(3):
        on_expert(net.level.gate, k, 0)
    with pytest.warns(PolytaskWarning, match="no gate uses shared 1, shared 2"):
        net.gates(POSITIVE)


def test_identical_experts_are_named() -> None:
    net = network(MMoE, n_experts=4, hidden=(16, 8))
    with torch.no_grad():
        for weight in net.experts.module.parameters():
            weight[3] = weight[1]
    with pytest.warns(PolytaskWarning, match="expert 2 and expert 4 give the same outputs"):
        net.gates(rows(40))
    with torch.no_grad():
        next(net.experts.module.parameters())[3] += 0.01
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.gates(rows(40))


def test_levels_are_named() -> None:
    net = network(PLE, hidden=(16, 8))
    with torch.no_grad():
        for weight in net.lower[0].experts.module.parameters():
            weight[4] = weight[0]
    with pytest.warns(PolytaskWarning, match="level 1: a 1 and shared 2 give the same outputs"):
        net.gates(rows(40))


def test_thresholds() -> None:
    def warned(values: list[list[float]], **settings: bool) -> int:
        names = tuple(f"e{i}" for i in range(len(values[0])))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warn_of_collapse(Matrix("", ("a", "b"), names, np.array(values)), **settings)
        return len(caught)

    assert warned([[0.96, 0.04], [0.97, 0.03]]) == 1
    assert warned([[0.94, 0.06], [0.97, 0.03]]) == 0
    assert warned([[0.5, 0.496, 0.004], [0.5, 0.496, 0.004]]) == 0
    assert warned([[0.5, 0.498, 0.002], [0.5, 0.498, 0.002]]) == 1
    assert warned([[0.5, 0.498, 0.002], [0.5, 0.498, 0.002]], sparse=True) == 0
    assert warned([[0.5, 0.498, 0.002], [0.5, 0.398, 0.102]]) == 0
    assert warned([[1.0], [1.0]]) == 0
