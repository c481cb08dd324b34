from __future__ import annotations

import numpy as np

from polytask.balancing.solvers.duplicates import first_of_equals, share_evenly


def test_equal_gradients_are_found_in_any_units() -> None:
    jacobian = np.random.default_rng(0).normal(size=(3, 9))[[0, 1, 0, 2, 1, 0]]
    for unit in (1e-20, 1.0, 1e20):
        np.testing.assert_array_equal(first_of_equals(unit * jacobian @ jacobian.T), [0, 1, 0, 3, 1, 0])


def test_parallel_opposite_and_near_gradients_are_not_equal() -> None:
    jacobian = np.array([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [1.0, 1e-5]])
    np.testing.assert_array_equal(first_of_equals(jacobian @ jacobian.T), np.arange(4))


def test_equals_get_the_mean_of_their_weights() -> None:
    first = np.array([0, 1, 0, 3, 0])
    np.testing.assert_allclose(
        share_evenly(first, np.array([0.6, 0.1, 0.0, 0.3, 0.0])), [0.2, 0.1, 0.2, 0.3, 0.2]
    )
    rows = np.arange(10.0).reshape(2, 5)
    np.testing.assert_allclose(share_evenly(first, rows)[1], share_evenly(first, rows[1]))
