from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

from polytask.balancing.gradients import UPGrad

from . import properties
from .jacobians import direction_of, random_jacobian, weights_of


def projected_mean(jacobian: np.ndarray) -> np.ndarray:
    """Each gradient's projection on {d: Jd ≥ 0} is g + Jᵀλ with the λ ≥ 0 that makes it shortest."""
    return np.mean([g + jacobian.T @ nnls(jacobian.T, -g)[0] for g in jacobian], axis=0)


@pytest.mark.parametrize(("m", "p", "seed"), [*properties.SHAPES, (8, 8, 5), (20, 40, 6)])
def test_is_the_mean_of_projections(m: int, p: int, seed: int) -> None:
    jacobian = random_jacobian(m, p, seed)
    np.testing.assert_allclose(direction_of(UPGrad(), jacobian), projected_mean(jacobian), atol=1e-8)


def test_golden() -> None:
    # g = (1, 0), (−1, 1): π(g_1) = g_1 + g_2/2 and π(g_2) = g_2 + g_1.
    np.testing.assert_allclose(weights_of(UPGrad(), np.array([[1.0, 0.0], [-1.0, 1.0]])), [1, 0.75])


def test_without_conflict_it_is_the_mean() -> None:
    np.testing.assert_allclose(weights_of(UPGrad(), np.abs(random_jacobian(5, 7, 0))), np.full(5, 0.2))


def test_linear_under_scaling() -> None:
    jacobian = random_jacobian(4, 6, 2)
    a, b = np.array([0.2, 1.0, 3.0, 7.0]), np.array([1.0, 0.1, 4.0, 2.0])
    parts = [direction_of(UPGrad(), c[:, None] * jacobian) for c in (a, b)]
    whole = direction_of(UPGrad(), (2 * a + 3 * b)[:, None] * jacobian)
    np.testing.assert_allclose(whole, 2 * parts[0] + 3 * parts[1], atol=1e-8)


def test_properties() -> None:
    properties.non_conflicting(UPGrad)
    properties.permutation_equivariant(UPGrad)
    properties.equal_for_identical_tasks(UPGrad)
    properties.zero_only_at_pareto_points(UPGrad)
    properties.refuses_other_state(UPGrad)
