from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from polytask.balancing.losses import FAMO
from polytask.errors import PolytaskWarning, SettingError, TrainingError
from polytask.testing import check_balancer

from ..properties import (
    TASKS,
    check_absent_tasks_keep_their_state,
    check_direction_ignores_the_scale_of_losses,
    check_identical_tasks_weigh_the_same,
    check_permutation_equivariant,
    check_resumes_exactly,
    loss_steps,
    weigh,
)
from .twins import Learned, gradient

MINIMUM = {"a": -0.5, "b": 0.0, "c": -2.0, "d": 0.01}


def test_properties() -> None:
    check_balancer(FAMO)
    check_permutation_equivariant(FAMO)
    check_identical_tasks_weigh_the_same(FAMO)
    check_absent_tasks_keep_their_state(FAMO)
    check_resumes_exactly(FAMO)


def test_the_step_does_not_depend_on_units_but_for_the_epsilon() -> None:
    # Losses of 1e-4 with ε = 1e-8.
    check_direction_ignores_the_scale_of_losses(FAMO, rtol=1e-3)


def test_two_steps_by_hand() -> None:
    balancer, tasks = FAMO(lr=0.1, gamma=0.0), ("a", "b")
    # z = ½, ½: c = 1 / (½·1 + ½·¼) = 1.6, so 1.6·½/1 and 1.6·½/4.
    np.testing.assert_allclose(balancer.weights(tasks, np.array([1.0, 4.0])), [0.8, 0.2], rtol=1e-7)
    balancer.observe(tasks, np.array([0.5, 4.0]))
    # The first fell: its ξ goes down, the other's up, by lr in Adam's first step.
    z = np.exp([-0.1, 0.1]) / (math.exp(0.1) + math.exp(-0.1))
    np.testing.assert_allclose(balancer.weights(tasks, np.array([1.0, 1.0])), z, rtol=1e-6)


def test_literal_twin_with_torchs_optimizer() -> None:
    """The objective by autograd, δ as the product of softmax's Jacobian, decay as torch's Adam has it."""
    balancer, learned = FAMO(lr=0.05, gamma=0.02, minimum=MINIMUM), Learned(TASKS, 0.05, weight_decay=0.02)
    for tasks, losses, after in loss_steps() * 3:
        b = torch.tensor([MINIMUM[t] for t in tasks], dtype=torch.float64)
        z = F.softmax(learned.of(tasks).detach(), 0)
        c = 1 / (z / (torch.tensor(losses) - b + 1e-8)).sum()
        expected = gradient(lambda v, z=z, b=b, c=c: (c * z * torch.log(v - b + 1e-8)).sum(), losses)  # type: ignore[misc]
        np.testing.assert_allclose(balancer.weights(tasks, losses), expected, rtol=1e-9)
        balancer.observe(tasks, after)
        logs = [torch.log(torch.tensor(v) - b + 1e-8) for v in (losses, after)]
        learned.step(lambda t=tasks, d=logs[0] - logs[1]: F.softmax(learned.of(t), 0) @ d)  # type: ignore[misc]


def test_weights_add_up_to_one() -> None:
    for weights in weigh(FAMO(), loss_steps()):
        np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-12)


def test_in_a_loop_the_slow_task_gains() -> None:
    """A task of hardly any slope against one that falls fast: its share z of the log losses grows."""
    w = torch.tensor([1.0, 1.0], dtype=torch.float64, requires_grad=True)
    balancer = FAMO()

    def losses() -> dict[str, torch.Tensor]:
        return {"fast": 5 * w[0] ** 2, "slow": 1 + 0.01 * w[1] ** 2}

    for _ in range(50):
        w.grad = None
        balancer.backward(losses())
        with torch.no_grad():
            w -= 0.01 * w.grad  # type: ignore[operator]
        balancer.after_step(losses())
    assert balancer.xi["slow"] > 0.3
    assert balancer.xi["fast"] < -0.3


def test_losses_after_the_step_are_asked_for() -> None:
    balancer = FAMO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        balancer.weights(("a",), np.ones(1))
        with pytest.raises(PolytaskWarning, match=r"call balancer\.after_step"):
            balancer.weights(("a",), np.ones(1))


def test_losses_after_the_step_are_of_the_same_batch() -> None:
    balancer = FAMO()
    with pytest.raises(SettingError, match="task 'a' was not in the step"):
        balancer.observe(("a",), np.ones(1))
    balancer.weights(("a", "b"), np.ones(2))
    with pytest.raises(SettingError, match="task 'c' was not in the step"):
        balancer.observe(("a", "c"), np.ones(2))
    balancer.observe(("a", "b"), np.ones(2))
    with pytest.raises(SettingError, match="once after every step"):
        balancer.observe(("a", "b"), np.ones(2))


def test_interrupted_between_the_step_and_its_losses() -> None:
    tasks, losses, after = loss_steps()[0]
    whole, resumed = FAMO(), FAMO()
    weigh(whole, loss_steps())
    whole.weights(tasks, losses)
    resumed.load_state_dict(whole.state_dict())
    for balancer in (whole, resumed):
        balancer.observe(tasks, after)
    assert whole.state_dict() == resumed.state_dict()


def test_a_loss_below_its_minimum_is_named() -> None:
    balancer = FAMO(minimum=MINIMUM)
    balancer.weights(("a", "c"), np.array([-0.4, -1.0]))
    with pytest.raises(TrainingError, match=r"loss above its minimum of task 'c' is -0\.5"):
        balancer.observe(("a", "c"), np.array([-0.4, -2.5]))
    assert not balancer.xi


def test_settings_are_checked() -> None:
    with pytest.raises(SettingError, match="lr must be a positive"):
        FAMO(lr=0)
    with pytest.raises(SettingError, match="gamma must be"):
        FAMO(gamma=-0.1)
    with pytest.raises(SettingError, match="minimum has no value for task 'e'"):
        FAMO(minimum=MINIMUM).weights(("e",), np.ones(1))
