from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem

from polytask.linear import Moments
from polytask.linear.losses.gram import GramLoss
from polytask.linear.penalties.trace_norm import TraceNorm
from polytask.linear.solvers.proximal import proximal_path
from polytask.linear.solvers.trace_norm import trace_norm_path

ALPHAS = np.array([200.0, 40.0, 8.0, 1.0])


def solve(moments, alphas, **settings):
    return trace_norm_path(
        moments.gram, moments.pattern, moments.xty, float(moments.yty.sum()), alphas, **settings
    )


@pytest.mark.parametrize("shape", [(40, 6, 4), (40, 4, 9), (12, 20, 5)])
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_equals_the_proximal_path(shape, missing):
    moments = Moments.from_arrays(*wide_problem(*shape, missing=missing))
    ours = solve(moments, ALPHAS, tol=1e-13)
    theirs = proximal_path(
        GramLoss(moments), lambda alpha: [TraceNorm(float(alpha), np.ones(shape[1]))], ALPHAS, tol=1e-13
    )
    np.testing.assert_allclose(ours.coef, theirs.components[:, 0], atol=1e-5)
    assert np.all(ours.gap <= 1e-13 * ours.null)


def test_the_gap_bounds_the_distance_to_the_minimum():
    moments = Moments.from_arrays(*wide_problem(missing=0.3))
    loss, penalty = GramLoss(moments), TraceNorm(8.0, np.ones(8))

    def objective(coef):
        return loss.at(coef).value + penalty.value(coef)

    exact = objective(solve(moments, ALPHAS[2:3], tol=1e-14).coef[0])
    for rounds in (1, 2, 3):
        rough = solve(moments, ALPHAS[2:3], tol=1e-14, max_iter=rounds)
        above = objective(rough.coef[0]) - exact
        assert 0 < above <= rough.gap[0] * (1 + 1e-9)


def test_the_objective_never_rises(monkeypatch):
    monkeypatch.setenv("POLYTASK_DEBUG", "1")
    for missing in (0.0, 0.4):
        moments = Moments.from_arrays(*wide_problem(missing=missing))
        assert solve(moments, ALPHAS, tol=1e-10).n_iter.max() > 3


def test_a_start_at_the_solution_is_kept():
    moments = Moments.from_arrays(*wide_problem(missing=0.3))
    exact = solve(moments, ALPHAS[1:2], tol=1e-13)
    again = solve(moments, ALPHAS[1:2], tol=1e-10, start=exact.coef[0])
    assert again.n_iter[0] == 1
    np.testing.assert_allclose(again.coef, exact.coef, atol=1e-6)


def test_targets_that_are_constant_have_zero_coefficients():
    X, Y = wide_problem()
    path = solve(Moments.from_arrays(X, np.ones_like(Y)), ALPHAS)
    assert not path.coef.any()
