from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from polytask.balancing.gradients import MGDA, MGDAUB
from polytask.errors import SettingError, TrainingError

from . import properties
from .jacobians import random_jacobian, weights_of


def shortest_in_hull(jacobian: np.ndarray) -> np.ndarray:
    """The weights of the shortest convex combination, by trying every set of tasks."""
    m, best, found = len(jacobian), np.inf, np.zeros(len(jacobian))
    for size in range(1, m + 1):
        for support in combinations(range(m), size):
            part = jacobian[list(support)]
            # Stationary on the affine hull: Gw = λ1, Σw = 1.
            system = np.block([[part @ part.T, np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
            w = np.linalg.lstsq(system, np.r_[np.zeros(size), 1.0], rcond=None)[0][:size]
            if (w >= 0).all() and np.linalg.norm(w @ part) < best - 1e-13:
                best, found = float(np.linalg.norm(w @ part)), np.zeros(m)
                found[list(support)] = w
    return found


@pytest.mark.parametrize("seed", range(12))
def test_is_the_shortest_vector_of_the_hull(seed: int) -> None:
    jacobian = random_jacobian(2 + seed % 5, 8, seed)
    w = weights_of(MGDA(), jacobian)
    np.testing.assert_allclose(w, shortest_in_hull(jacobian), atol=1e-8)


@pytest.mark.parametrize("normalization", ["loss", "l2", "loss+"])
def test_normalization_divides_gradients_in_the_search_only(normalization: str) -> None:
    jacobian, losses = random_jacobian(4, 6, 1), np.array([0.3, 2.0, 1.0, 5.0])
    norms = np.linalg.norm(jacobian, axis=1)
    scale = {"loss": losses, "l2": norms, "loss+": losses * norms}[normalization]
    w = weights_of(MGDA(normalization), jacobian, losses)
    np.testing.assert_allclose(w, shortest_in_hull(jacobian / scale[:, None]), atol=1e-8)


@pytest.mark.parametrize("make", [MGDA, MGDAUB])
def test_golden_two_tasks(make: type) -> None:
    # ‖w(2, 0) + (1 − w)(0, 1)‖² = 4w² + (1 − w)² is smallest at w = 1/5.
    w = weights_of(make(), np.array([[2.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_allclose(w, [0.2, 0.8], atol=1e-12)
    # The angle at the shorter one is blunt: the shorter one alone.
    np.testing.assert_allclose(weights_of(make(), np.array([[1.0, 0.0], [3.0, 1.0]])), [1, 0], atol=1e-12)


def test_identical_tasks_get_equal_weights() -> None:
    np.testing.assert_allclose(weights_of(MGDA(), np.ones((3, 2))), np.full(3, 1 / 3), atol=1e-9)


def test_properties() -> None:
    properties.non_conflicting(MGDA)
    properties.permutation_equivariant(MGDA)
    properties.equal_for_identical_tasks(MGDA)
    properties.zero_only_at_pareto_points(MGDA)
    properties.resumes_identically(lambda: MGDA("loss+"))
    properties.refuses_other_state(MGDA)


def test_upper_bound_needs_the_features() -> None:
    assert MGDAUB().needs == "features"
    assert MGDA().needs == "gramian"
    assert MGDA(gradients="features").needs == "features"


def test_wrong_settings() -> None:
    with pytest.raises(SettingError, match=r"none, loss, l2, loss\+"):
        MGDA("norm")
    with pytest.raises(TrainingError, match=r"needs positive losses; the loss of task 'task1'"):
        weights_of(MGDA("loss"), np.eye(2), np.array([1.0, 0.0]))
