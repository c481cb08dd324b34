from __future__ import annotations

import numpy as np
import pytest
import torch

from polytask.balancing.losses import STCH
from polytask.errors import SettingError, TrainingError
from polytask.testing import check_balancer

from ..properties import (
    check_absent_tasks_keep_their_state,
    check_direction_ignores_the_scale_of_losses,
    check_identical_tasks_weigh_the_same,
    check_permutation_equivariant,
    check_resumes_exactly,
    loss_steps,
)
from .twins import gradient

PREFERENCES = {"a": 1.0, "b": 0.3, "c": 2.0, "d": 0.5}
IDEAL = {"a": -1.0, "b": 0.01, "c": 0.0, "d": 0.5}


def make() -> STCH:
    return STCH(mu=0.7, preferences=PREFERENCES, ideal=IDEAL, warmup=3)


def test_properties() -> None:
    check_balancer(lambda: STCH(warmup=1))
    check_permutation_equivariant(make)
    check_identical_tasks_weigh_the_same(lambda: STCH(warmup=2))
    check_direction_ignores_the_scale_of_losses(lambda: STCH(warmup=2), length_too=True)
    check_absent_tasks_keep_their_state(lambda: STCH(warmup=20))
    check_resumes_exactly(make)


def test_by_hand() -> None:
    balancer, tasks = STCH(mu=1.0, warmup=2), ("a", "b")
    np.testing.assert_allclose(balancer.weights(tasks, np.array([1.0, 10.0])), [0.5, 0.05], rtol=1e-14)
    np.testing.assert_allclose(balancer.weights(tasks, np.array([3.0, 30.0])), [1 / 6, 1 / 60], rtol=1e-14)
    # n = 2 and 20, so f = ln 3 and 0: softmax ¾ and ¼.
    weights = balancer.weights(tasks, np.array([2 * np.log(3), 0.0]))
    np.testing.assert_allclose(weights, [0.75 / 2, 0.25 / 20], rtol=1e-14)


def test_literal_twin_with_absent_tasks() -> None:
    balancer = make()
    seen: dict[str, list[float]] = {t: [] for t in "abcd"}
    smooth = 0
    for tasks, losses, _ in loss_steps() * 2:
        lam = torch.tensor([PREFERENCES[t] for t in tasks], dtype=torch.float64)
        z = torch.tensor([IDEAL[t] for t in tasks], dtype=torch.float64)
        n = torch.tensor([float(np.mean(seen[t][:3] or [1.0])) for t in tasks], dtype=torch.float64)

        def warm(v: torch.Tensor, z: torch.Tensor = z) -> torch.Tensor:
            return torch.log(v - z).mean()

        def smooth_maximum(
            v: torch.Tensor, z: torch.Tensor = z, lam: torch.Tensor = lam, n: torch.Tensor = n
        ) -> torch.Tensor:
            return 0.7 * torch.log(torch.exp(lam * (v - z) / n / 0.7).sum())

        ready = all(len(seen[t]) >= 3 for t in tasks)
        smooth += ready
        expected = gradient(smooth_maximum if ready else warm, losses)
        np.testing.assert_allclose(balancer.weights(tasks, losses), expected, rtol=1e-10)
        for task, loss in zip(tasks, losses.tolist()):
            seen[task].append(loss - IDEAL[task])
    assert smooth > 12


def test_a_small_mu_leaves_the_worst_task_alone() -> None:
    weights = STCH(mu=1e-4, warmup=0).weights(("a", "b", "c"), np.array([1.0, 3.0, 2.9]))
    np.testing.assert_allclose(weights, [0.0, 1.0, 0.0], atol=1e-12)


def test_a_large_mu_is_the_weighted_sum() -> None:
    balancer = STCH(mu=1e12, preferences=PREFERENCES, warmup=0)
    weights = balancer.weights(("a", "b", "c"), np.array([1.0, 30.0, -2.0]))
    np.testing.assert_allclose(weights, np.array([1.0, 0.3, 2.0]) / 3, rtol=1e-9)


def test_preferences_on_the_simplex_are_the_same_method() -> None:
    """λ and μ divided by one number: F divided by it."""
    loose = STCH(mu=0.7, preferences=PREFERENCES, warmup=2)
    total = sum(PREFERENCES.values())
    simplex = STCH(0.7 / total, {t: v / total for t, v in PREFERENCES.items()}, warmup=2)
    for i, (tasks, losses, _) in enumerate(loss_steps()):
        factor = 1.0 if i < 2 else total
        first, second = loose.weights(tasks, losses), simplex.weights(tasks, losses)
        np.testing.assert_allclose(first, factor * second, rtol=1e-11)


def test_after_the_warm_up_any_loss_will_do() -> None:
    balancer = STCH(warmup=1)
    balancer.weights(("a", "b"), np.ones(2))
    assert (balancer.weights(("a", "b"), np.array([-1.0, 0.0])) > 0).all()


def test_settings_are_checked() -> None:
    with pytest.raises(SettingError, match="mu must be a positive"):
        STCH(mu=0)
    with pytest.raises(SettingError, match="preferences of task 'a' must be a positive"):
        STCH(preferences={"a": 0})
    with pytest.raises(SettingError, match="warmup must be a whole number of at least 0"):
        STCH(warmup=-1)
    with pytest.raises(SettingError, match="preferences has no value for task 'e'"):
        make().weights(("e",), np.ones(1))
    with pytest.raises(SettingError, match="ideal has no value for task 'b'"):
        STCH(ideal={"a": 0.0}).weights(("a", "b"), np.ones(2))
    with pytest.raises(TrainingError, match="loss above its ideal of task 'a' is -1"):
        STCH(ideal={"a": 2.0}).weights(("a",), np.ones(1))
