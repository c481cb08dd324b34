from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from polytask.balancing.losses import RLW
from polytask.errors import SettingError
from polytask.testing import check_balancer

from ..properties import check_resumes_exactly, loss_steps, weigh


def test_properties() -> None:
    check_balancer(RLW)
    check_resumes_exactly(RLW)


def test_softmax_of_standard_normal_numbers() -> None:
    """Log ratios of the weights are differences of normal numbers: N(0, 2)."""
    balancer, losses = RLW(seed=3), np.ones(3)
    weights = np.array([balancer.weights(("a", "b", "c"), losses) for _ in range(4000)])
    np.testing.assert_allclose(weights.sum(1), 1.0, rtol=1e-12)
    log_ratio = np.log(weights[:, 0] / weights[:, 2])
    assert stats.kstest(log_ratio, "norm", args=(0, np.sqrt(2))).pvalue > 0.01


def test_mean_weights_are_equal() -> None:
    balancer = RLW(seed=1)
    weights = np.array([balancer.weights(("a", "b", "c", "d"), np.ones(4)) for _ in range(4000)])
    error = weights.std(0) / np.sqrt(len(weights))
    assert (np.abs(weights.mean(0) - 0.25) < 4 * error).all()
    assert (error < 0.005).all()


def test_the_literal_draws() -> None:
    rng = np.random.default_rng(7)
    for (tasks, _, _), weights in zip(loss_steps(), weigh(RLW(seed=7), loss_steps())):
        np.testing.assert_allclose(weights, special.softmax(rng.normal(size=len(tasks))), rtol=1e-12)


def test_a_seed_is_a_stream_of_its_own_that_losses_do_not_touch() -> None:
    first, again, other = (weigh(RLW(seed), loss_steps()) for seed in (0, 0, 1))
    elsewhere = weigh(RLW(0), loss_steps(seed=9))
    for a, b, c, d in zip(first, again, other, elsewhere):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, d)
        assert len(a) == 1 or not np.allclose(a, c)


def test_settings_are_checked() -> None:
    with pytest.raises(SettingError, match="seed must be a whole number of at least 0"):
        RLW(seed=-1)
