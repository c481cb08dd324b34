from __future__ import annotations

import numpy as np

from polytask.balancing.solvers.cholesky import append_row, solve_in_place


def test_factors_and_solutions_are_those_of_lapack() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(9, 9))
    K, L, order = root @ root.T, np.zeros((9, 9)), np.empty(9, np.int64)
    chosen = [4, 0, 7, 2]
    for k, j in enumerate(chosen):
        assert append_row(K, L, order, k, j, 0.0)
    part = K[np.ix_(chosen, chosen)]
    np.testing.assert_allclose(np.tril(L[:4, :4]), np.linalg.cholesky(part), rtol=1e-9, atol=1e-12)
    x = np.arange(1.0, 10.0)
    solve_in_place(L, 4, x)
    np.testing.assert_allclose(x[:4], np.linalg.solve(part, [1, 2, 3, 4]), rtol=1e-8)
    np.testing.assert_array_equal(x[4:], np.arange(5.0, 10.0))


def test_a_dependent_row_is_refused() -> None:
    K, L, order = np.ones((2, 2)), np.zeros((2, 2)), np.empty(2, np.int64)
    assert append_row(K, L, order, 0, 0, 0.0)
    assert not append_row(K, L, order, 1, 1, 1e-15)
