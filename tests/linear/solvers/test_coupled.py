from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem

from polytask.linear import Moments
from polytask.linear.solvers.coupled import one_gram_path
from polytask.linear.solvers.task_penalty import TaskPenalty


@pytest.mark.parametrize("shape", [(60, 8), (12, 20)])
def test_equals_the_dense_system(shape):
    moments = Moments.from_arrays(*wide_problem(*shape))
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    penalties = [TaskPenalty(scale * np.array([0.01, 1.0, 50.0]), vectors) for scale in (1.0, 7.0)]
    path = one_gram_path(moments.gram[0], moments.xty, penalties)
    for penalty, coef in zip(penalties, path):
        p = shape[1]
        matrix = np.kron(penalty.matrix, np.eye(p)) + np.kron(np.eye(3), moments.gram[0])
        expected = np.linalg.solve(matrix, moments.xty.ravel()).reshape(3, p)
        np.testing.assert_allclose(coef, expected, rtol=1e-7, atol=1e-9)


def test_directions_without_penalty_are_least_squares_and_infinite_ones_are_zero():
    X, Y = wide_problem()
    moments, vectors = (
        Moments.from_arrays(X, Y),
        np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0],
    )
    coef = one_gram_path(moments.gram[0], moments.xty, [TaskPenalty(np.array([0, np.inf, 0.0]), vectors)])[0]
    least = np.linalg.lstsq(X - X.mean(axis=0), Y - Y.mean(axis=0), rcond=None)[0].T
    np.testing.assert_allclose(vectors[:, [0, 2]].T @ coef, vectors[:, [0, 2]].T @ least, atol=1e-9)
    np.testing.assert_allclose(vectors[:, 1] @ coef, 0, atol=1e-12)
