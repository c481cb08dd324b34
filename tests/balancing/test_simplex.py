from __future__ import annotations

import numpy as np
from scipy import special

from polytask.balancing.simplex import softmax


def test_softmax_is_scipys_and_never_overflows() -> None:
    rng = np.random.default_rng(0)
    for scale in (1.0, 50.0, 1e6):
        x = scale * rng.normal(size=7)
        np.testing.assert_allclose(softmax(x), special.softmax(x), rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(softmax(x).sum(), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(softmax(np.array([3.0])), [1.0])
