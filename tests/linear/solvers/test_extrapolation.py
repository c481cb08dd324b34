from __future__ import annotations

import numpy as np

from polytask.linear.solvers.extrapolation import Extrapolation


def test_solves_a_linear_iteration_in_as_many_rounds_as_dimensions():
    rng = np.random.default_rng(0)
    matrix, offset = np.diag([0.9, 0.99, -0.5]), rng.normal(size=3)
    memory, point = Extrapolation(5), np.zeros(3)
    for _ in range(5):
        image = matrix @ point + offset
        guess = memory.extrapolated(point, image)
        point = image if guess is None else guess
    np.testing.assert_allclose(point, np.linalg.solve(np.eye(3) - matrix, offset), rtol=1e-4)
