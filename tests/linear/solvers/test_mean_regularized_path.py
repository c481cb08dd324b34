from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem

from polytask.linear import Moments
from polytask.linear.solvers.mean_regularized import mean_regularized_path


def dense_solution(moments, first, second):
    """The stationary point of the paper's objective as one (T p) × (T p) linear system."""
    T, p = moments.xty.shape
    matrix = np.zeros((T * p, T * p))
    centring = np.eye(T) - np.ones((T, T)) / T
    penalty = first * np.ones((T, T)) / T**2 + second / T * centring
    for s in range(T):
        for t in range(T):
            matrix[s * p : (s + 1) * p, t * p : (t + 1) * p] = penalty[s, t] * np.eye(p)
        matrix[s * p : (s + 1) * p, s * p : (s + 1) * p] += moments.gram[moments.pattern[s]]
    return np.linalg.solve(matrix, moments.xty.ravel()).reshape(T, p)


@pytest.mark.parametrize("settings", [{}, {"missing": 0.3}, {"n": 12, "p": 20, "missing": 0.3}])
@pytest.mark.parametrize(("first", "second"), [(0.5, 2.0), (1e-3, 1e4), (3.0, 3.0), (1e-4, 1e-3)])
def test_block_elimination_equals_the_dense_system(settings, first, second):
    moments = Moments.from_arrays(*wide_problem(**settings))
    T = moments.n_tasks
    coef = mean_regularized_path(moments.gram, moments.pattern, moments.xty, np.array([[first, second]]) / T)[
        0
    ]
    expected = dense_solution(moments, first, second)
    np.testing.assert_allclose(coef, expected, rtol=1e-7, atol=1e-8 * np.abs(expected).max())


def test_infinite_and_huge_penalties_agree():
    moments = Moments.from_arrays(*wide_problem(missing=0.3))
    grid = np.array([[0.3, 1e13], [0.3, np.inf]])
    huge, infinite = mean_regularized_path(moments.gram, moments.pattern, moments.xty, grid)
    np.testing.assert_allclose(huge, infinite, rtol=1e-8, atol=1e-10)
    assert np.ptp(infinite, axis=0).max() == 0
