from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from polytask.errors import DataError
from polytask.training.inputs import InputScaler, as_matrix


def test_numbers_are_standardised_and_indicators_centred() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack(
        [rng.normal(5, 3, 200), np.eye(200)[0], np.full(200, 7.0), rng.integers(0, 2, 200) * 4]
    )
    z = InputScaler.fit(x).transform(x)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-12)
    assert z[:, 0].std() == pytest.approx(1)
    # A rare indicator stays within one: divided by its deviation it would be 14.
    assert np.ptp(z[:, 1]) == pytest.approx(1)
    assert not z[:, 2].any()
    assert np.ptp(z[:, 3]) == pytest.approx(1)


def test_inactive_is_the_identity() -> None:
    x = np.random.default_rng(0).normal(size=(5, 2))
    assert np.array_equal(InputScaler.fit(x, active=False).transform(x), x)


def test_matrices() -> None:
    assert np.array_equal(as_matrix(sp.csr_matrix(np.eye(3))), np.eye(3))
    with pytest.raises(DataError, match="Feature 1 has missing or infinite"):
        as_matrix(np.array([[1.0, np.nan]]))
    with pytest.raises(DataError, match="numbers as features, got object"):
        as_matrix(np.array([["a"]], dtype=object))
