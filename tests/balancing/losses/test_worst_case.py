from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import linprog

from polytask.balancing.losses import WorstCase
from polytask.errors import SettingError
from polytask.testing import check_balancer

from ..properties import (
    check_absent_tasks_keep_their_state,
    check_identical_tasks_weigh_the_same,
    check_permutation_equivariant,
    check_resumes_exactly,
    loss_steps,
)


def test_properties() -> None:
    check_balancer(WorstCase)
    check_permutation_equivariant(WorstCase)
    check_identical_tasks_weigh_the_same(WorstCase)
    check_absent_tasks_keep_their_state(WorstCase)
    check_resumes_exactly(WorstCase)


def test_a_step_by_hand() -> None:
    """``½ e^{ln 3} : ½ e^0`` is 3 : 1, and 9 : 1 after the next."""
    balancer = WorstCase(eta=math.log(3))
    tasks, losses = ("a", "b"), np.array([1.0, 0.0])
    np.testing.assert_allclose(balancer.weights(tasks, losses), [0.75, 0.25], rtol=1e-14)
    np.testing.assert_allclose(balancer.weights(tasks, losses), [0.9, 0.1], rtol=1e-14)


def test_exponentiated_gradient_with_absent_tasks() -> None:
    """Literal twin on the whole simplex: absent tasks keep w, the others share out what they had."""
    balancer, w = WorstCase(eta=0.05), dict.fromkeys("abcd", 0.25)
    for tasks, losses, _ in loss_steps() * 2:
        raised = {t: w[t] * math.exp(0.05 * loss) for t, loss in zip(tasks, losses)}
        had, total = sum(w[t] for t in tasks), sum(raised.values())
        w |= {t: value * had / total for t, value in raised.items()}
        np.testing.assert_allclose(sum(w.values()), 1.0, rtol=1e-12)
        np.testing.assert_allclose(balancer.weights(tasks, losses), [w[t] / had for t in tasks], rtol=1e-10)


def test_losses_beyond_the_range_of_the_exponential() -> None:
    balancer = WorstCase(eta=1.0)
    for _ in range(3):
        weights = balancer.weights(("a", "b"), np.array([1e5, -1e5]))
    np.testing.assert_array_equal(weights, [1.0, 0.0])
    assert all(map(math.isfinite, balancer.log_w.values()))


def test_descent_reaches_the_smallest_worst_loss() -> None:
    """Absolute errors of one number to 0, 1 and 5; a linear program knows the least maximum: 2.5."""
    targets = np.array([0.0, 1.0, 5.0])
    program = linprog(
        [0, 1],
        A_ub=np.block([[np.ones((3, 1)), -np.ones((3, 1))], [-np.ones((3, 1)), -np.ones((3, 1))]]),
        b_ub=[*targets, *-targets],
        bounds=[(None, None), (None, None)],
    )
    balancer, x, visited = WorstCase(eta=0.05), 0.0, []
    for _ in range(4000):
        weights = balancer.weights(("a", "b", "c"), np.abs(x - targets))
        x -= 0.05 * float(weights @ np.sign(x - targets))
        visited.append(x)
    assert np.abs(np.mean(visited[1000:]) - targets).max() == pytest.approx(program.fun, abs=0.05)


def test_settings_are_checked() -> None:
    with pytest.raises(SettingError, match="eta must be a positive"):
        WorstCase(eta=-0.1)
