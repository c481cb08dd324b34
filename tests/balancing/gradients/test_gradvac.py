from __future__ import annotations

import numpy as np
import pytest

from polytask.balancing.gradients import GradVac, PCGrad
from polytask.balancing.gradients.pcgrad import random_orders
from polytask.balancing.state import Draws
from polytask.errors import SettingError

from . import properties
from .jacobians import direction_of, names, random_jacobian, weights_of


def vaccine(jacobian: np.ndarray, orders: np.ndarray, targets: np.ndarray, beta: float) -> np.ndarray:
    """Algorithm 1 of Wang et al. on the gradients themselves; targets change in place."""
    norm = np.linalg.norm
    changed = jacobian.copy()
    for i, order in enumerate(orders):
        for j in order:
            if i == j:
                continue
            g, h, hat = changed[i], jacobian[j], targets[i, j]
            phi = g @ h / (norm(g) * norm(h))
            if phi < hat:
                pull = norm(g) * (hat * np.sqrt(1 - phi**2) - phi * np.sqrt(1 - hat**2))
                changed[i] = g + pull / (norm(h) * np.sqrt(1 - hat**2)) * h
            targets[i, j] = (1 - beta) * hat + beta * phi
    return changed.sum(0)


@pytest.mark.parametrize("seed", range(6))
def test_is_the_vaccine_on_gradients_over_steps(seed: int) -> None:
    m = 2 + seed
    balancer, draws, targets = GradVac(beta=0.3, seed=seed), Draws(seed), np.zeros((m, m))
    base = np.abs(random_jacobian(m, 9, seed))  # positive targets, then conflicts
    for step in range(5):
        jacobian = base + random_jacobian(m, 9, 100 + step) * step
        expected = vaccine(jacobian, random_orders(draws, m), targets, 0.3)
        np.testing.assert_allclose(direction_of(balancer, jacobian), expected, rtol=1e-8, atol=1e-8)


def test_pulls_a_pair_to_its_target() -> None:
    balancer = GradVac(beta=0.0)
    balancer.targets.update({"'task0', 'task1'": 0.6})
    # g_1' = (0, 1) + s (1, 0) has cosine .6 with g_2 = (1, 0): s = 3/4; g_2 has target 0 and stays.
    np.testing.assert_allclose(weights_of(balancer, np.array([[0.0, 1.0], [1.0, 0.0]])), [1, 1.75])


def test_targets_of_zero_are_pcgrad() -> None:
    jacobian = random_jacobian(5, 8, 0)
    np.testing.assert_allclose(
        weights_of(GradVac(beta=0.0, seed=3), jacobian), weights_of(PCGrad(seed=3), jacobian), rtol=1e-9
    )


def test_targets_are_kept_by_name() -> None:
    balancer = GradVac(beta=0.5)
    jacobian = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    weights_of(balancer, jacobian)
    before = dict(balancer.targets)
    weights_of(balancer, jacobian[[2, 0]], tasks=["task2", "task0"])
    changed = {pair for pair, value in balancer.targets.items() if value != before[pair]}
    assert changed == set()  # the cosine of these two is zero, as is their target
    weights_of(balancer, np.array([[1.0, 0.0], [1.0, 0.1]]), tasks=["task2", "task0"])
    changed = {pair for pair, value in balancer.targets.items() if value != before[pair]}
    assert changed == {"'task2', 'task0'", "'task0', 'task2'"}


def test_opposed_tasks_leave_finite_weights() -> None:
    balancer = GradVac()
    jacobian = np.array([[1.0, 0.0], [-2.0, 0.0], [0.0, 1.0]])
    for _ in range(3):
        assert np.isfinite(weights_of(balancer, jacobian)).all()


def test_long_runs_of_identical_tasks_stay_equal() -> None:
    balancer = GradVac(beta=0.9)
    jacobian = np.tile(random_jacobian(1, 7, 0), (3, 1))
    for _ in range(60):
        w = weights_of(balancer, jacobian, tasks=names(3))
    np.testing.assert_allclose(w, np.ones(3), rtol=1e-5)


def test_properties() -> None:
    properties.equal_for_identical_tasks(GradVac)
    properties.resumes_identically(lambda: GradVac(beta=0.4))
    properties.refuses_other_state(GradVac)


def test_wrong_settings() -> None:
    with pytest.raises(SettingError, match="beta"):
        GradVac(beta=1.5)
