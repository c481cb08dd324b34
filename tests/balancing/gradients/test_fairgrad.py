from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import root

from polytask.balancing.gradients import MGDA, FairGrad, NashMTL
from polytask.errors import SettingError

from . import properties
from .jacobians import direction_of, random_jacobian, weights_of

SHAPES = [(2, 3, 0), (3, 3, 1), (5, 20, 3), (11, 50, 4)]


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize(("m", "p", "seed"), SHAPES)
def test_solves_its_equation(m: int, p: int, seed: int, alpha: float) -> None:
    jacobian = random_jacobian(m, p, seed)
    w = weights_of(FairGrad(alpha), jacobian)
    assert (w > 0).all()
    np.testing.assert_allclose(jacobian @ (w @ jacobian) * w ** (1 / alpha), np.ones(m), rtol=1e-8)


def test_against_a_root_finder() -> None:
    jacobian = random_jacobian(3, 4, 5)

    def excess(log_w: np.ndarray) -> np.ndarray:
        w = np.exp(log_w)
        return jacobian @ (jacobian.T @ w) * np.sqrt(w) - 1

    start = -4 / 3 * np.log(np.linalg.norm(jacobian, axis=1))
    found = root(excess, start, method="lm", options={"xtol": 1e-14, "ftol": 1e-14})
    assert np.abs(found.fun).max() < 1e-10
    np.testing.assert_allclose(weights_of(FairGrad(2.0), jacobian), np.exp(found.x), rtol=1e-8)


def test_golden() -> None:
    # Orthogonal gradients, α = 2: ‖g_t‖² w_t = w_t^{−½}, so w_t = ‖g_t‖^{−4/3}.
    np.testing.assert_allclose(weights_of(FairGrad(2.0), np.diag([1.0, 8.0])), [1, 1 / 16], rtol=1e-10)


def test_one_is_nash() -> None:
    jacobian = random_jacobian(5, 9, 0)
    np.testing.assert_allclose(
        weights_of(FairGrad(1.0), jacobian), weights_of(NashMTL(), jacobian), rtol=1e-8
    )


def test_large_alpha_is_mgda() -> None:
    jacobian = random_jacobian(3, 9, 0)
    fair, shortest = direction_of(FairGrad(300.0), jacobian), direction_of(MGDA(), jacobian)
    cosine = fair @ shortest / np.linalg.norm(fair) / np.linalg.norm(shortest)
    assert cosine > 0.999


def test_properties() -> None:
    def make() -> FairGrad:
        return FairGrad(2.0)

    properties.non_conflicting(make, SHAPES)
    properties.equal_for_identical_tasks(make)
    properties.zero_only_at_pareto_points(make, zero=False)
    properties.resumes_identically(make)
    properties.refuses_other_state(make)


def test_wrong_settings() -> None:
    with pytest.raises(SettingError, match="for 0 use 'equal'"):
        FairGrad(0.0)
