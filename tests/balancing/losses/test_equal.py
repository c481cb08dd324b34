from __future__ import annotations

import numpy as np

from polytask.balancing.losses import Equal
from polytask.testing import check_balancer

from ..properties import check_resumes_exactly


def test_conformance() -> None:
    check_balancer(Equal)
    check_resumes_exactly(Equal)


def test_every_task_that_is_there_weighs_the_same() -> None:
    np.testing.assert_array_equal(Equal().weights(("a", "b", "c", "d"), np.arange(4.0)), [0.25] * 4)
    np.testing.assert_array_equal(Equal().weights(("b",), np.array([-2.0])), [1.0])
