from __future__ import annotations

import cvxpy as cp
import numpy as np

from polytask.linear.penalties.shared_vector import SharedVector


def test_the_map_is_the_nearest_feasible_point():
    coef, shared = (
        np.random.default_rng(0).normal(size=(4, 6)),
        np.array([True, True, True, True, False, False]),
    )
    ours = SharedVector(shared).prox(coef, 1.0)
    B = cp.Variable((4, 6))
    constraints = [B >= 0] + [B[t, :4] == B[0, :4] for t in range(1, 4)]
    cp.Problem(cp.Minimize(cp.sum_squares(B - coef)), constraints).solve(solver=cp.CLARABEL)
    np.testing.assert_allclose(ours, B.value, atol=1e-5)
    assert (ours[:, :4] > 0).any()
