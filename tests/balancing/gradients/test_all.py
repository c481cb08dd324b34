"""What holds for every method that sees gradients."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch

from polytask.balancing import gradients
from polytask.balancing.by_gradients import GradientBalancer
from polytask.balancing.by_gramian import GramianBalancer

from .jacobians import direction_of, names, random_jacobian, weights_of

CLASSES = [getattr(gradients, name) for name in gradients.__all__]
NAMES = "gradnorm mgda mgda_ub pcgrad gradvac graddrop cagrad imtl_g nash_mtl aligned_mtl fairgrad upgrad db_mtl config"
ON_DEVICE = [
    gradients.MGDA(),
    gradients.MGDAUB(),
    gradients.CAGrad(0.4),
    gradients.NashMTL(),
    gradients.NashMTL(max_norm=0.7),
    gradients.FairGrad(2.0),
    gradients.UPGrad(),
]


def test_all_methods_are_there() -> None:
    assert {cls.name for cls in CLASSES} == set(NAMES.split())
    for cls in CLASSES:
        assert cls.card is not None
        assert cls.card.paper
        assert cls.card.formula
        assert cls.card.backward
        assert "See " in (cls.__doc__ or "")


@pytest.mark.parametrize("cls", CLASSES)
def test_settings_are_named_and_have_defaults(cls: type) -> None:
    parameters = inspect.signature(cls).parameters
    assert all(p.default is not p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters.values())
    of_gramians = {"update_every"} if cls is gradients.MGDAUB else {"gradients", "update_every"}
    assert of_gramians <= set(parameters) or issubclass(cls, GradientBalancer)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("m", [2, 3, 11])
def test_singular_and_badly_scaled_gradients_give_finite_directions(cls: type, m: int) -> None:
    gradient = random_jacobian(1, 6, 0)[0]
    signs = np.where(np.arange(m) % 2, -1.0, 1.0)
    for jacobian in (
        np.tile(gradient, (m, 1)),
        np.outer(signs, gradient),
        random_jacobian(m, 1, 1),
        random_jacobian(m, 6, 2) * np.geomspace(1e-6, 1e6, m)[:, None],
        random_jacobian(m, 6, 3) * 1e-12,
    ):
        assert np.isfinite(direction_of(cls(), jacobian)).all()


@pytest.mark.parametrize("balancer", ON_DEVICE, ids=lambda b: b.name)
@pytest.mark.parametrize(("m", "p", "seed"), [(2, 3, 0), (5, 20, 3), (11, 50, 4)])
def test_the_same_on_the_device(balancer: GramianBalancer, m: int, p: int, seed: int) -> None:
    jacobian = random_jacobian(m, p, seed)
    expected = weights_of(balancer, jacobian)
    gramian = torch.from_numpy(jacobian @ jacobian.T)
    for dtype, tolerance in ((torch.float64, 1e-5), (torch.float32, 1e-3)):
        found = balancer.weights_on_device(gramian.to(dtype))
        assert found is not None
        assert np.linalg.norm(found.numpy() - expected) <= tolerance * np.linalg.norm(expected)


def test_what_needs_the_losses_stays_on_the_host() -> None:
    assert gradients.MGDA("loss").weights_on_device(torch.eye(2)) is None


def about(state: dict[str, Any], task: str) -> dict[str, Any]:
    """What a state holds of a task, flat, as plain data."""
    nested = {f"{k}/{kk}": vv for k, v in state.items() if isinstance(v, dict) for kk, vv in v.items()}
    flat = {k: v.tolist() if isinstance(v, torch.Tensor) else v for k, v in (state | nested).items()}
    return {k: v for k, v in flat.items() if task in k}


@pytest.mark.parametrize(
    "cls", [cls for cls in CLASSES if {"found", "learned", "targets", "smoothed"} & set(cls.STATE)]
)
def test_an_absent_task_keeps_its_state(cls: type) -> None:
    balancer, present = cls(), [0, 2, 3]
    direction_of(balancer, random_jacobian(4, 8, 0))
    before = balancer.state_dict()
    direction_of(balancer, random_jacobian(3, 8, 1), tasks=[names(4)[i] for i in present])
    after = balancer.state_dict()
    assert about(before, "task1")
    assert about(after, "task1") == about(before, "task1")
    assert about(after, "task2") != about(before, "task2")
