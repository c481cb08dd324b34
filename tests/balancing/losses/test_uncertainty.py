from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from polytask.balancing.losses import Uncertainty
from polytask.errors import SettingError
from polytask.testing import check_balancer

from ..properties import (
    TASKS,
    check_absent_tasks_keep_their_state,
    check_identical_tasks_weigh_the_same,
    check_permutation_equivariant,
    check_resumes_exactly,
    loss_steps,
)
from .twins import Learned

KINDS = {"a": "regression", "b": "classification", "c": "classification", "d": "regression"}


def make() -> Uncertainty:
    return Uncertainty(KINDS, lr=0.1)


def test_properties() -> None:
    check_balancer(make)
    check_permutation_equivariant(make)
    check_identical_tasks_weigh_the_same(Uncertainty)
    check_absent_tasks_keep_their_state(make)
    check_resumes_exactly(make)


def test_two_steps_by_hand() -> None:
    balancer = Uncertainty(lr=0.1)
    tasks, losses = ("a", "b"), np.array([4.0, 0.25])
    np.testing.assert_array_equal(balancer.weights(tasks, losses), [0.5, 0.5])
    # Gradients in s are ½ − ½·4 < 0 and ½ − ½·¼ > 0; Adam's first step has the length lr.
    np.testing.assert_allclose(
        balancer.weights(tasks, losses), [0.5 * math.exp(-0.1), 0.5 * math.exp(0.1)], rtol=1e-8
    )


def test_the_papers_objective_with_torchs_optimizer() -> None:
    """``1/(2σ²) L + log σ`` and ``1/σ² L + log σ`` with parameters that torch learns."""
    balancer, learned = make(), Learned(TASKS, lr=0.1)
    for tasks, losses, _ in loss_steps() * 3:
        vector = torch.tensor(losses, requires_grad=True)

        def objective(vector: torch.Tensor = vector, tasks: tuple[str, ...] = tasks) -> torch.Tensor:
            total = torch.zeros((), dtype=torch.float64)
            for loss, task, s in zip(vector, tasks, learned.of(tasks)):
                sigma = torch.exp(s / 2)
                scale = 2 if KINDS[task] == "regression" else 1
                total = total + loss / (scale * sigma**2) + torch.log(sigma)
            return total

        learned.step(objective)
        assert vector.grad is not None
        np.testing.assert_allclose(balancer.weights(tasks, losses), vector.grad.numpy(), rtol=1e-10)


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_at_its_optimum_a_weight_is_half_of_one_over_the_loss(kind: str) -> None:
    losses = np.array([0.2, 30.0])
    balancer = Uncertainty({"a": kind, "b": kind}, lr=0.05)
    for _ in range(3000):
        weights = balancer.weights(("a", "b"), losses)
    np.testing.assert_allclose(weights, 1 / (2 * losses), rtol=1e-4)


def test_a_loss_of_zero_stops_at_the_bound() -> None:
    balancer = Uncertainty(lr=1.0, bound=3.0)
    for _ in range(10):
        weights = balancer.weights(("a",), np.zeros(1))
    np.testing.assert_allclose(weights, 0.5 * math.exp(3), rtol=1e-12)


def test_settings_are_checked() -> None:
    with pytest.raises(SettingError, match=r"Task 'a': its kind must be .* got 'ordinal'"):
        Uncertainty({"a": "ordinal"})
    with pytest.raises(SettingError, match="lr must be a positive"):
        Uncertainty(lr=0)
    with pytest.raises(SettingError, match="bound must be a positive"):
        Uncertainty(bound=-1.0)
    with pytest.raises(SettingError, match="kinds has no value for task 'e'"):
        make().weights(("e",), np.ones(1))
