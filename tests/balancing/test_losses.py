from __future__ import annotations

import pytest
import torch

from polytask.balancing import Equal, Fixed, TaskLosses
from polytask.errors import SettingError


def test_equal_is_the_mean_over_the_tasks_that_are_there() -> None:
    assert Equal().objective(TaskLosses(("a", "b", "c"), torch.tensor([1.0, 2.0, 6.0]))) == 3.0
    assert Equal().objective(TaskLosses(("b",), torch.tensor([2.0]))) == 2.0


def test_fixed_weighs_by_name() -> None:
    fixed = Fixed({"a": 1.0, "b": 0.5, "c": 4.0})
    assert fixed.objective(TaskLosses(("c", "a"), torch.tensor([1.0, 10.0]))) == 14.0


def test_fixed_weights_are_checked() -> None:
    with pytest.raises(SettingError, match=r"Task 'a'.*positive"):
        Fixed({"a": 0.0})
    with pytest.raises(SettingError, match="needs a weight per task"):
        Fixed({})
    with pytest.raises(SettingError, match="no weight for task 'b'"):
        Fixed({"a": 1.0}).objective(TaskLosses(("b",), torch.tensor([1.0])))
