from __future__ import annotations

import numpy as np
import pytest

from polytask.balancing.losses import Fixed
from polytask.errors import SettingError
from polytask.testing import check_balancer

from ..properties import check_permutation_equivariant


def make() -> Fixed:
    return Fixed({"a": 1.0, "b": 0.5, "c": 4.0, "d": 0.1})


def test_conformance() -> None:
    check_balancer(make)


def test_fixed_weighs_by_name() -> None:
    np.testing.assert_array_equal(make().weights(("c", "a"), np.array([1.0, 10.0])), [4.0, 1.0])
    check_permutation_equivariant(make)


def test_fixed_weights_are_checked() -> None:
    with pytest.raises(SettingError, match=r"Task 'a'.*positive"):
        Fixed({"a": 0.0})
    with pytest.raises(SettingError, match="needs a weight per task"):
        Fixed({})
    with pytest.raises(SettingError, match="no weight for task 'b'"):
        Fixed({"a": 1.0}).weights(("b",), np.array([1.0]))
