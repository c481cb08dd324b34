from __future__ import annotations

import numpy as np

from polytask.linear.solvers.task_penalty import TaskPenalty, mean_vectors


def test_mean_vectors_are_orthonormal_and_start_with_the_mean():
    vectors = mean_vectors(5)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(5), atol=1e-14)
    np.testing.assert_allclose(vectors[:, 0], 5**-0.5)


def test_values_are_those_of_the_matrix():
    coef = np.random.default_rng(0).normal(size=(4, 3))
    penalty = TaskPenalty(np.array([0.0, 0.5, 3.0, 3.0]), mean_vectors(4))
    np.testing.assert_allclose(penalty.value(coef), np.trace(coef.T @ penalty.matrix @ coef) / 2)


def test_infinite_values_are_left_out_of_the_matrix():
    penalty = TaskPenalty(np.array([2.0, np.inf]), mean_vectors(2))
    np.testing.assert_allclose(penalty.matrix, np.ones((2, 2)))
    np.testing.assert_allclose(penalty.value(np.ones((2, 1))), 2)
