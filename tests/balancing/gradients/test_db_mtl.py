from __future__ import annotations

import numpy as np
import pytest

from polytask.balancing.gradients import DBMTL
from polytask.errors import SettingError, TrainingError

from . import properties
from .jacobians import direction_of, random_jacobian


def test_is_the_paper_s_loop() -> None:
    balancer, beta, smoothed = DBMTL(0.7), 0.7, np.zeros((3, 5))
    for step in range(5):
        jacobian, losses = random_jacobian(3, 5, step), np.array([0.1, 2.0, 30.0]) + step
        for t in range(3):
            smoothed[t] = beta * smoothed[t] + (1 - beta) * jacobian[t] / losses[t]
        norms = [np.linalg.norm(g) for g in smoothed]
        expected = max(norms) * sum(g / n for g, n in zip(smoothed, norms))
        np.testing.assert_allclose(direction_of(balancer, jacobian, losses), expected, rtol=1e-10)


def test_golden() -> None:
    # log gradients (2, 0) and (0, 5), β = 0: both become 5 long.
    d = direction_of(DBMTL(0.0), np.array([[1.0, 0.0], [0.0, 10.0]]), np.array([0.5, 2.0]))
    np.testing.assert_allclose(d, [5, 5])


def test_an_absent_task_keeps_its_memory() -> None:
    balancer = DBMTL(0.5)
    direction_of(balancer, random_jacobian(3, 4, 0))
    before = balancer.smoothed["task1"].clone()
    direction_of(balancer, random_jacobian(2, 4, 1), tasks=["task0", "task2"])
    np.testing.assert_array_equal(balancer.smoothed["task1"].numpy(), before.numpy())


def test_properties() -> None:
    properties.permutation_equivariant(DBMTL)
    properties.invariant_to_loss_scale(DBMTL, length=True)
    properties.equal_for_identical_tasks(DBMTL)
    properties.resumes_identically(DBMTL)


def test_wrong_settings_and_losses() -> None:
    with pytest.raises(SettingError, match="beta"):
        DBMTL(1.0)
    with pytest.raises(TrainingError, match=r"needs positive losses; the loss of task 'task0'"):
        direction_of(DBMTL(), np.eye(2), np.array([-1.0, 1.0]))
