from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from polytask.balancing.solvers.active_set import minimise


def on_every_face(H: np.ndarray, b: np.ndarray, on_simplex: bool) -> float:
    """The least objective over all faces whose own minimiser is feasible: the slow literal way."""
    n, least = len(b), np.inf if on_simplex else 0.0
    for size in range(1, n + 1):
        for face in map(list, combinations(range(n), size)):
            bordered = np.pad(H[np.ix_(face, face)], (0, int(on_simplex)), constant_values=1.0)
            if on_simplex:
                bordered[-1, -1] = 0.0
            z = np.linalg.lstsq(bordered, np.append(b[face], np.ones(int(on_simplex))), rcond=None)[0][:size]
            if z.min() >= 0:
                least = min(least, 0.5 * z @ H[np.ix_(face, face)] @ z - b[face] @ z)
    return least


@pytest.mark.parametrize("on_simplex", [False, True])
@pytest.mark.parametrize("rank", [7, 5])
def test_the_best_of_all_faces_is_found(on_simplex: bool, rank: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(15):
        root = rng.normal(size=(6, rank)) * 10 ** rng.uniform(-2, 2, size=(6, 1))
        H, b = root @ root.T, root @ rng.normal(size=rank)  # b in the range of H, so that there is a minimum
        for start in (np.zeros(6), np.ones(6), rng.normal(size=6)):
            z = minimise(H + 1.0 if on_simplex else H, b, on_simplex, start)
            assert z.min() >= 0
            value = 0.5 * z @ H @ z - b @ z
            assert value == pytest.approx(on_every_face(H, b, on_simplex), rel=1e-8, abs=1e-10)
            assert not on_simplex or z.sum() == pytest.approx(1, abs=1e-14)


def test_nothing_to_gain_is_zero() -> None:
    np.testing.assert_array_equal(minimise(np.eye(3), -np.ones(3), False, np.zeros(3)), np.zeros(3))
