from __future__ import annotations

from typing import Any

import numpy as np

from polytask.reporting.figures import balancing


def records() -> list[dict[str, Any]]:
    """Three steps; the second lacks "b", and the third names its tasks the other way round."""
    first = {"step": 0, "tasks": ["a", "b", "c"], "losses": [1.0, 2.0, 3.0], "weights": [0.5, 0.25, 0.25]}
    second = {"step": 5, "tasks": ["a", "c"], "losses": [4.0, 6.0], "weights": None}
    third = {"step": 10, "tasks": ["c", "b", "a"], "losses": [9.0, 8.0, 7.0], "weights": [0.0, 1.0, 2.0]}
    return [
        first | {"norms": [2.0, 4.0, 8.0], "cosines": [0.1, -0.2, 0.3], "conflicts": 1 / 3},
        second | {"norms": [1.0, 2.0], "cosines": [0.4], "conflicts": 0.0},
        third | {"norms": None, "cosines": [0.5, -0.6, None], "conflicts": 0.5},
    ]


def test_tables_follow_names_not_places() -> None:
    nan = np.nan
    assert balancing.task_names(records()) == ["a", "b", "c"]
    np.testing.assert_array_equal(
        balancing.per_task(records(), "losses"), [[1, 2, 3], [4, nan, 6], [7, 8, 9]]
    )
    np.testing.assert_array_equal(
        balancing.per_task(records(), "parts"), [[1, 1, 2], [nan, nan, nan], [nan, nan, nan]]
    )
    pairs = [[0.1, -0.2, 0.3], [nan, 0.4, nan], [nan, -0.6, 0.5]]  # a–b, a–c, b–c
    np.testing.assert_array_equal(balancing.per_pair(records()), pairs)


def test_means_are_over_the_records_that_have_the_pair() -> None:
    expected = [[1, 0.1, -0.4 / 3], [0.1, 1, 0.4], [-0.4 / 3, 0.4, 1]]
    np.testing.assert_allclose(balancing.mean_cosines(records()), expected)
    never = balancing.mean_cosines([records()[1], {"step": 6, "tasks": ["b"], "cosines": []}])
    assert np.isnan(never[0, 2])
    assert never[0, 1] == 0.4
    np.testing.assert_array_equal(balancing.conflict_rates(records()), [1 / 3, 0, 0.5])
