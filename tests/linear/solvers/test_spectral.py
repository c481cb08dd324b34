from __future__ import annotations

import numpy as np
from problems import wide_problem

from polytask.linear import Moments
from polytask.linear.solvers.spectral import Spectrum, ridge_path


def test_every_task_and_penalty_solves_its_normal_equations():
    moments = Moments.from_arrays(*wide_problem(missing=0.3))
    alphas = np.random.default_rng(0).uniform(0.01, 10, (5, 3))
    coef = ridge_path(Spectrum.of(moments.gram), moments.pattern, moments.xty, alphas)
    for k in range(5):
        for t in range(3):
            matrix = moments.gram[moments.pattern[t]] + alphas[k, t] * np.eye(8)
            np.testing.assert_allclose(
                coef[k, t], np.linalg.solve(matrix, moments.xty[t]), rtol=1e-9, atol=1e-12
            )


def test_no_penalty_gives_least_squares_of_least_norm():
    X, Y = wide_problem(n=10, p=20)
    moments = Moments.from_arrays(X, Y)
    coef = ridge_path(Spectrum.of(moments.gram), moments.pattern, moments.xty, np.zeros((1, 3)))[0]
    expected = np.linalg.lstsq(X - X.mean(axis=0), Y - Y.mean(axis=0), rcond=None)[0].T
    np.testing.assert_allclose(coef, expected, atol=1e-8)
