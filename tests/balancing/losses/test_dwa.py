from __future__ import annotations

import math

import numpy as np
import pytest

from polytask.balancing.losses import DWA
from polytask.errors import SettingError
from polytask.testing import check_balancer

from ..properties import (
    check_absent_tasks_keep_their_state,
    check_identical_tasks_weigh_the_same,
    check_permutation_equivariant,
    check_resumes_exactly,
    loss_steps,
)


def make() -> DWA:
    return DWA(window=2)


def test_properties() -> None:
    check_balancer(make)
    check_permutation_equivariant(make)
    check_identical_tasks_weigh_the_same(make)
    check_absent_tasks_keep_their_state(make)
    check_resumes_exactly(make)


def test_two_epochs_by_hand() -> None:
    balancer, tasks = DWA(window=2, tau=2.0), ("a", "b")
    for losses in ([4.0, 1.0], [2.0, 1.0], [1.0, 3.0], [2.0, 5.0]):
        np.testing.assert_allclose(balancer.weights(tasks, np.array(losses)), [1.0, 1.0], rtol=1e-14)
    # Means are 3 and 1, then 1.5 and 4: r = ½ and 4.
    e = [math.exp(0.25), math.exp(2.0)]
    expected = [2 * e[0] / sum(e), 2 * e[1] / sum(e)]
    np.testing.assert_allclose(balancer.weights(tasks, np.array([9.0, 9.0])), expected, rtol=1e-14)


def test_literal_twin_with_absent_tasks() -> None:
    """From each task's whole history, cut into epochs of three."""
    balancer = DWA(window=3, tau=1.5)
    history: dict[str, list[float]] = {t: [] for t in "abcd"}
    for tasks, losses, _ in loss_steps() * 3:
        r = []
        for task in tasks:
            seen = history[task]
            epochs = [np.mean(seen[i : i + 3]) for i in range(0, len(seen) - len(seen) % 3, 3)]
            r.append(epochs[-1] / epochs[-2] if len(epochs) > 1 else 1.0)
        exponentials = [math.exp(v / 1.5) for v in r]
        expected = [len(tasks) * e / sum(exponentials) for e in exponentials]
        np.testing.assert_allclose(balancer.weights(tasks, losses), expected, rtol=1e-12)
        for task, loss in zip(tasks, losses.tolist()):
            history[task].append(loss)
    assert min(map(len, history.values())) > 9


def test_units_of_a_loss_do_not_change_its_weight() -> None:
    plain, scaled = make(), make()
    for tasks, losses, _ in loss_steps():
        c = np.array([1e3 if t == "b" else 1.0 for t in tasks])
        np.testing.assert_allclose(
            plain.weights(tasks, losses), scaled.weights(tasks, c * losses), rtol=1e-12
        )


def test_a_very_high_temperature_is_equal_weighting() -> None:
    balancer = DWA(window=1, tau=1e12)
    for tasks, losses, _ in loss_steps():
        np.testing.assert_allclose(balancer.weights(tasks, losses), np.ones(len(tasks)), rtol=1e-9)


def test_after_an_epoch_of_zeros_there_is_no_rate() -> None:
    balancer = DWA(window=1)
    for value in (0.0, 1.0):
        balancer.weights(("a", "b"), np.array([value, 1.0]))
    np.testing.assert_allclose(balancer.weights(("a", "b"), np.ones(2)), [1.0, 1.0], rtol=1e-14)


def test_settings_are_checked() -> None:
    with pytest.raises(SettingError, match="window must be a whole number"):
        DWA(window=0)
    with pytest.raises(SettingError, match="tau must be a positive"):
        DWA(tau=0)
