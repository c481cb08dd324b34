from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from problems import wide_problem

from polytask.linear import Moments
from polytask.linear.losses.gram import GramLoss
from polytask.linear.solvers.cluster_penalty import ClusterPenalty
from polytask.linear.solvers.clustered import clustered_path


@pytest.fixture(autouse=True)
def _assert_that_rounds_descend(monkeypatch):
    monkeypatch.setenv("POLYTASK_DEBUG", "1")


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize(("alpha", "strength", "k"), [(1.0, 10.0, 2), (20.0, 100.0, 1), (0.1, 1.0, 3)])
def test_reaches_the_optimum_of_a_general_solver(missing, alpha, strength, k):
    moments = Moments.from_arrays(*wide_problem(n=25, p=4, q=5, missing=missing))
    loss = GramLoss(moments)
    path = clustered_path(loss, [ClusterPenalty(alpha, strength, k)], np.ones(4), tol=1e-10)
    # tr Z bounds tr(Bᵀ N⁻¹ B) from above, N = I + γM, as a Schur complement.
    B, M = cp.Variable((5, 4)), cp.Variable((5, 5), symmetric=True)
    Z, N = cp.Variable((4, 4), symmetric=True), np.eye(5) + strength * M
    squares = sum(cp.quad_form(B[t], cp.psd_wrap(moments.gram[moments.pattern[t]])) for t in range(5))
    value = squares / 2 - cp.sum(cp.multiply(moments.xty, B)) + alpha * (1 + strength) / 2 * cp.trace(Z)
    problem = cp.Problem(
        cp.Minimize(value),
        [cp.bmat([[N, B], [B.T, Z]]) >> 0, M >> 0, np.eye(5) - M >> 0, cp.trace(M) == k],
    )
    problem.solve(solver=cp.CLARABEL)
    best = problem.value + loss.yty / 2
    ours = loss.at(path.coef[0]).value + ClusterPenalty(alpha, strength, k).value(path.coef[0])
    np.testing.assert_allclose(ours, best, rtol=1e-6)
    assert path.gap[0] <= 1e-10 * loss.null
    np.testing.assert_allclose(path.coef[0], B.value, atol=2e-3)


def test_the_two_ways_of_a_round_agree():
    X, Y = wide_problem(n=40, p=4, q=5)
    penalties = [ClusterPenalty(alpha, 30.0, 2) for alpha in (30.0, 3.0)]
    shared = GramLoss(Moments.from_arrays(X, Y))
    # The same rows in another order are other patterns, and so Grams of their own.
    own = Moments.from_arrays(np.vstack([X, X]), np.block([[Y[:, :2], np.full((40, 3), np.nan)],
                                                          [np.full((40, 2), np.nan), Y[:, 2:]]]))  # fmt: skip
    assert len(own.gram) == 2
    one = clustered_path(shared, penalties, np.ones(4), tol=1e-12)
    other = clustered_path(GramLoss(own), penalties, np.ones(4), tol=1e-12)
    np.testing.assert_allclose(one.coef, other.coef, atol=1e-5)
