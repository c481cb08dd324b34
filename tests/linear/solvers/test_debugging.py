from __future__ import annotations

import pytest

from polytask.linear.solvers.debugging import assert_descent


def test_a_rising_objective_is_an_error_in_debug_mode_alone(monkeypatch):
    monkeypatch.setenv("POLYTASK_DEBUG", "0")
    assert_descent([1.0, 2.0], "Some solver")
    monkeypatch.setenv("POLYTASK_DEBUG", "1")
    assert_descent([2.0], "Some solver")
    assert_descent([2.0, 2.0 + 1e-12, 1.0], "Some solver")
    with pytest.raises(AssertionError, match=r"Some solver: the objective rose from 1\.0 to 1\.1 at step 2"):
        assert_descent([2.0, 1.0, 1.1], "Some solver")
