from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from polytask.balancing.losses import IMTLL, Uncertainty
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


def make() -> IMTLL:
    return IMTLL(lr=0.1)


def test_properties() -> None:
    check_balancer(make)
    check_permutation_equivariant(make)
    check_identical_tasks_weigh_the_same(make)
    check_absent_tasks_keep_their_state(make)
    check_resumes_exactly(make)


def test_two_steps_by_hand() -> None:
    balancer, tasks, losses = IMTLL(lr=0.1), ("a", "b"), np.array([4.0, 0.25])
    np.testing.assert_array_equal(balancer.weights(tasks, losses), [1.0, 1.0])
    # Gradients in s are 4 − 1 > 0 and ¼ − 1 < 0; Adam's first step has the length lr.
    np.testing.assert_allclose(balancer.weights(tasks, losses), np.exp([-0.1, 0.1]), rtol=1e-8)


def test_the_papers_objective_with_torchs_optimizer() -> None:
    balancer, learned = make(), Learned(TASKS, lr=0.1)
    for tasks, losses, _ in loss_steps() * 3:
        vector = torch.tensor(losses, requires_grad=True)
        learned.step(lambda v=vector, t=tasks: (torch.exp(learned.of(t)) * v - learned.of(t)).sum())  # type: ignore[misc]
        assert vector.grad is not None
        np.testing.assert_allclose(balancer.weights(tasks, losses), vector.grad.numpy(), rtol=1e-10)


def test_at_its_optimum_every_scaled_loss_is_one_whatever_its_units() -> None:
    losses, balancer = np.array([1e-3, 1.0, 500.0]), IMTLL(lr=0.05)
    for _ in range(6000):
        weights = balancer.weights(("a", "b", "c"), losses)
    np.testing.assert_allclose(weights * losses, 1.0, rtol=1e-3)


def test_it_is_twice_the_uncertainty_of_regressions() -> None:
    """With s for −s the two objectives differ by a factor, which Adam does not see but for its ε."""
    imtl_l, uncertainty = make(), Uncertainty(lr=0.1)
    for tasks, losses, _ in loss_steps():
        weights = 2 * uncertainty.weights(tasks, losses)
        np.testing.assert_allclose(imtl_l.weights(tasks, losses), weights, rtol=1e-5)


def test_a_loss_of_zero_stops_at_the_bound() -> None:
    balancer = IMTLL(lr=1.0, bound=3.0)
    for _ in range(10):
        weights = balancer.weights(("a",), np.zeros(1))
    np.testing.assert_allclose(weights, math.exp(3), rtol=1e-12)


def test_settings_are_checked() -> None:
    with pytest.raises(SettingError, match="lr must be a positive"):
        IMTLL(lr=0)
    with pytest.raises(SettingError, match="bound must be a positive"):
        IMTLL(bound=0)
