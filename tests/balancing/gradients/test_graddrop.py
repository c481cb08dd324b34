from __future__ import annotations

import numpy as np
import pytest
import torch

from polytask.balancing.gradients import GradDrop
from polytask.errors import SettingError

from . import properties
from .jacobians import direction_of, random_jacobian


def drop(jacobian: np.ndarray, uniform: np.ndarray, leak: float) -> np.ndarray:
    """Algorithm 1 of Chen et al., parameter by parameter."""
    d = np.zeros(jacobian.shape[1])
    for k, column in enumerate(jacobian.T):
        purity = 0.5 * (1 + column.sum() / np.abs(column).sum())
        for g in column:
            kept = (purity > uniform[k] and g > 0) or (purity < uniform[k] and g < 0)
            d[k] += (leak + (1 - leak) * kept) * g
    return d


@pytest.mark.parametrize("leak", [0.0, 0.3])
def test_is_the_rule_per_parameter(leak: float) -> None:
    jacobian = random_jacobian(4, 40, 0)
    uniform = GradDrop(seed=5)._uniform(torch.from_numpy(jacobian[0])).numpy()
    assert 0 <= uniform.min() < uniform.max() < 1
    np.testing.assert_allclose(
        direction_of(GradDrop(leak, seed=5), jacobian), drop(jacobian, uniform, leak), atol=1e-12
    )


def test_positive_with_the_probability_of_its_purity() -> None:
    jacobian = np.tile(np.array([[3.0], [-1.0]]), (1, 20000))
    d = direction_of(GradDrop(), jacobian)
    assert set(d) == {3.0, -1.0}
    assert np.mean(d > 0) == pytest.approx(0.75, abs=0.015)


def test_one_sign_is_never_dropped() -> None:
    jacobian = np.abs(random_jacobian(3, 50, 1))
    jacobian[:, 7] = 0.0
    np.testing.assert_allclose(direction_of(GradDrop(), -jacobian), -jacobian.sum(0))


def test_steps_draw_anew() -> None:
    balancer, jacobian = GradDrop(), random_jacobian(3, 50, 2)
    assert (direction_of(balancer, jacobian) != direction_of(balancer, jacobian)).any()


def test_full_leak_is_the_sum() -> None:
    jacobian = random_jacobian(3, 9, 3)
    np.testing.assert_allclose(direction_of(GradDrop(1.0), jacobian), jacobian.sum(0))


def test_properties() -> None:
    properties.permutation_equivariant(GradDrop)
    properties.equal_for_identical_tasks(GradDrop)
    properties.resumes_identically(GradDrop)


def test_wrong_settings() -> None:
    with pytest.raises(SettingError, match="leak"):
        GradDrop(leak=-0.1)
