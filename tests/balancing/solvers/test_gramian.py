from __future__ import annotations

import numpy as np
import pytest

from polytask.balancing import solvers
from polytask.errors import TrainingError


@pytest.mark.parametrize("name", solvers.__all__)
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 0.0, -1.0])
def test_a_gramian_that_cannot_be_solved_is_refused(name: str, wrong: float) -> None:
    settings = {"cagrad": (0.4,), "fair": (2.0,)}.get(name, ())
    G = np.eye(3)
    G[1, 1] = wrong
    with pytest.raises(TrainingError, match=r"3 tasks.*rows \[1\]"):
        getattr(solvers, name)(G, *settings)


def test_integers_and_strides_are_accepted() -> None:
    wide = np.zeros((6, 6), dtype=np.int64)
    wide[::2, ::2] = np.diag([1, 2, 4])
    np.testing.assert_allclose(solvers.min_norm(wide[::2, ::2]), np.array([4, 2, 1]) / 7)
