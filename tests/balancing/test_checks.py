from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from polytask.balancing import LossBalancer
from polytask.balancing.checks import check_count, check_positive, given_for
from polytask.balancing.losses import DWA, FAMO, IMTLL, STCH, GeometricMean, ScaleInvariant, Uncertainty
from polytask.errors import SettingError, TrainingError

NOT_NEGATIVE: list[type[LossBalancer]] = [Uncertainty, IMTLL, DWA, FAMO]
POSITIVE: list[type[LossBalancer]] = [GeometricMean, ScaleInvariant, STCH]


@pytest.mark.parametrize("make", NOT_NEGATIVE + POSITIVE)
def test_a_negative_loss_is_named_before_anything_is_learned(make: type[LossBalancer]) -> None:
    balancer = make()
    balancer.weights(("good", "bad"), np.array([1.0, 2.0]))
    before = balancer.state_dict()
    with pytest.raises(TrainingError, match=rf"'{make.name}'.*of task 'bad' is -0\.5.*'equal'"):
        balancer.weights(("good", "bad"), np.array([3.0, -0.5]))
    assert balancer.state_dict() == before


@pytest.mark.parametrize("make", POSITIVE)
def test_zero_has_no_logarithm(make: type[LossBalancer]) -> None:
    with pytest.raises(TrainingError, match=r"needs positive losses.*of task 'b' is 0"):
        make().weights(("a", "b"), np.array([1.0, 0.0]))


@pytest.mark.parametrize("make", NOT_NEGATIVE)
def test_zero_is_a_loss_where_no_logarithm_is_taken(make: type[LossBalancer]) -> None:
    weights = make().weights(("a", "b"), np.array([1.0, 0.0]))
    assert np.isfinite(weights).all()
    assert (weights > 0).all()


@pytest.mark.parametrize("bad", [0, -1.0, math.nan, math.inf, "1", True, None])
def test_positive_numbers(bad: Any) -> None:
    with pytest.raises(SettingError, match="lr must be a positive number, got"):
        check_positive("lr", bad)
    assert check_positive("lr", 2) == 2.0


@pytest.mark.parametrize("bad", [0, 1.0, True, "3"])
def test_counts(bad: Any) -> None:
    with pytest.raises(SettingError, match="window must be a whole number of at least 1, got"):
        check_count("window", bad, 1)
    assert check_count("window", 1, 1) == 1


def test_values_by_task() -> None:
    assert given_for("ideal", {"a": 1.0, "b": 2.0}, ("b",)) == [2.0]
    with pytest.raises(SettingError, match="ideal has no value for task 'c'; it has: a, b"):
        given_for("ideal", {"a": 1.0, "b": 2.0}, ("b", "c"))
