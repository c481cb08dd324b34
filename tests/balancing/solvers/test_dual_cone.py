from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from polytask.balancing.solvers import dual_cone

from .problems import gramians, kkt_dual_cone


def worst(G: np.ndarray, U: np.ndarray, V: np.ndarray) -> float:
    return max(kkt_dual_cone(G, u, v) for u, v in zip(U, V))


def test_a_thousand_gramians_up_to_condition_1e8_have_no_duality_gap() -> None:
    for G in gramians(1000, 0, 8):
        V = dual_cone(G)
        assert worst(G, np.eye(len(G)), V) <= 1e-12
        # for Gv ≥ 0 the dual value is 2uᵀGv − vᵀGv, so that the gap is 2 (v − u)ᵀGv
        square = ((V @ G) * V).sum(1)
        gap = 2 * (((V - np.eye(len(G))) @ G) * V).sum(1)
        assert (np.abs(gap) <= 1e-6 * square).all()


def test_a_thousand_gramians_of_conditions_1e8_to_1e16_are_optimal() -> None:
    assert max(worst(G, np.eye(len(G)), dual_cone(G)) for G in gramians(1000, 8, 16)) <= 1e-10


def test_nonnegative_least_squares_finds_the_same_projections() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        n = int(rng.integers(2, 12))
        jacobian = rng.normal(size=(n, 20)) - 0.3 * rng.normal(size=20)
        U = rng.uniform(size=(3, n))
        V = dual_cone(jacobian @ jacobian.T, U)
        for u, v in zip(U, V):
            z, _ = nnls(jacobian.T, -jacobian.T @ u)
            np.testing.assert_allclose(v, u + z, atol=1e-9)


def test_gradients_without_conflict_are_left_alone() -> None:
    jacobian = np.abs(np.random.default_rng(0).normal(size=(6, 10)))
    np.testing.assert_array_equal(dual_cone(jacobian @ jacobian.T), np.eye(6))


def test_projections_hurt_no_task_and_move_least() -> None:
    rng = np.random.default_rng(1)
    jacobian = rng.normal(size=(7, 5))  # more tasks than dimensions: a singular Gramian
    projected = dual_cone(jacobian @ jacobian.T) @ jacobian
    assert (jacobian @ projected.T).min() >= -1e-9
    for g, p in zip(jacobian, projected):
        assert (g - p) @ p == 0 or abs((g - p) @ p) <= 1e-9 * (g @ g)  # Moreau: orthogonal parts


def test_gramians_made_indefinite_by_float32_are_solved_to_that_rounding() -> None:
    rng = np.random.default_rng(2)
    for _ in range(100):
        jacobian = rng.normal(size=(int(rng.integers(2, 12)), int(rng.integers(1, 8)))).astype(np.float32)
        G = (jacobian @ jacobian.T).astype(np.float64)
        assert worst(G, np.eye(len(G)), dual_cone(G)) <= 1e-4
