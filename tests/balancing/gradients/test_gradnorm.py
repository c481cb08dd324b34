from __future__ import annotations

import numpy as np
import pytest
import torch

from polytask.balancing.gradients import GradNorm
from polytask.errors import SettingError, TrainingError

from . import properties
from .jacobians import random_jacobian, weights_of


def test_is_adam_on_the_paper_s_loss() -> None:
    balancer, alpha, m = GradNorm(alpha=1.5, lr=0.05), 1.5, 4
    w = torch.ones(m, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([w], lr=0.05)
    first = None
    for step in range(12):
        jacobian = torch.from_numpy(random_jacobian(m, 6, step))
        losses = torch.linspace(1, 3, m, dtype=torch.float64) / (1 + step * torch.arange(1, m + 1))
        first = losses if first is None else first
        found = weights_of(balancer, jacobian.numpy(), losses.numpy())
        np.testing.assert_allclose(found, w.detach().numpy(), rtol=1e-10)
        norms = (w[:, None] * jacobian).norm(dim=1)
        relative = losses / first
        target = (norms.mean() * (relative / relative.mean()) ** alpha).detach()
        adam.zero_grad()
        (norms - target).abs().sum().backward()
        adam.step()
        with torch.no_grad():
            w *= m / w.sum()


def test_golden_first_steps() -> None:
    balancer = GradNorm(lr=0.1)
    jacobian = np.diag([3.0, 1.0])
    np.testing.assert_array_equal(weights_of(balancer, jacobian), [1, 1])
    # Adam's first step is lr against the sign: the long gradient shrinks; Σw = 2 already.
    np.testing.assert_allclose(weights_of(balancer, jacobian), [0.9, 1.1], rtol=1e-6)


def test_norms_become_equal() -> None:
    balancer, jacobian = GradNorm(alpha=0.0, lr=0.01), np.diag([4.0, 1.0, 2.0])
    for _ in range(800):
        w = weights_of(balancer, jacobian)
    np.testing.assert_allclose(w * [4, 1, 2], np.full(3, 12 / 7), rtol=0.05)


def test_the_task_that_lags_is_favoured() -> None:
    balancer, jacobian = GradNorm(alpha=1.5), np.eye(2)
    for step in range(30):
        w = weights_of(balancer, jacobian, np.array([1.0, 1.0 / (1 + step)]))
    assert w[0] > 1.1 > 0.9 > w[1]


def test_an_absent_task_keeps_its_weight_and_the_total_stays() -> None:
    balancer = GradNorm(lr=0.1)
    for step in range(5):
        weights_of(balancer, random_jacobian(3, 4, step))
    before = balancer.learned["task1"]
    weights_of(balancer, random_jacobian(2, 4, 9), tasks=["task0", "task2"])
    assert balancer.learned["task1"] == before
    assert sum(balancer.learned.values()) == pytest.approx(3)


def test_weights_stay_positive() -> None:
    balancer = GradNorm(lr=0.9)
    for step in range(40):
        assert (weights_of(balancer, random_jacobian(3, 4, step)) > 0).all()


def test_looks_at_the_last_shared_layer() -> None:
    assert GradNorm.layer == "last"


def test_properties() -> None:
    properties.permutation_equivariant(GradNorm)
    properties.equal_for_identical_tasks(GradNorm)
    properties.resumes_identically(GradNorm)
    properties.refuses_other_state(GradNorm)


def test_wrong_settings_and_losses() -> None:
    with pytest.raises(SettingError, match="alpha"):
        GradNorm(alpha=-1.0)
    with pytest.raises(SettingError, match="lr"):
        GradNorm(lr=0.0)
    with pytest.raises(TrainingError, match=r"needs positive losses; the loss of task 'task1'"):
        weights_of(GradNorm(), np.eye(2), np.array([1.0, 0.0]))
