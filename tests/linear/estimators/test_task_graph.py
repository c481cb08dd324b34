from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from polytask.errors import SettingError
from polytask.linear.estimators.task_graph import edges_of, laplacian, task_graph

NAMES = ("a", "b", "c")
WEIGHTS = np.array([[0, 2.0, 0], [2, 0, 0.5], [0, 0.5, 0]])


@pytest.mark.parametrize(
    "graph",
    [
        WEIGHTS,
        pd.DataFrame(WEIGHTS, NAMES, NAMES).loc[["c", "a", "b"], ["b", "c", "a"]],
        {("a", "b"): 2.0, ("c", "b"): 0.5},
        [("b", "a", 2.0), ("b", "c", 0.5)],
        [(0, 1, 2.0), (1, "c", 0.5)],
    ],
)
def test_all_forms_give_the_same_weights(graph):
    np.testing.assert_array_equal(task_graph(graph, NAMES), WEIGHTS)


def test_named_graphs():
    np.testing.assert_array_equal(task_graph("chain", NAMES), [[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(task_graph("complete", NAMES), 1 - np.eye(3))
    np.testing.assert_array_equal(task_graph("chain", ("one",)), [[0]])
    np.testing.assert_array_equal(task_graph([("a", "c")], NAMES), [[0, 0, 1], [0, 0, 0], [1, 0, 0]])


def test_names_come_before_positions():
    np.testing.assert_array_equal(task_graph([(1, 2)], ("2", "0", "1")), [[0, 0, 1], [0, 0, 0], [1, 0, 0]])


def test_the_laplacian_sums_squared_differences():
    b = np.array([1.0, -1.0, 3.0])
    first, second, weights = edges_of(WEIGHTS)
    np.testing.assert_allclose(b @ laplacian(WEIGHTS) @ b, weights @ (b[first] - b[second]) ** 2)
    np.testing.assert_allclose(b @ laplacian(WEIGHTS) @ b, 2 * 4 + 0.5 * 16)


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ("ring", "graph must be 'chain', 'complete' or weights between tasks; got 'ring'"),
        (3.0, "graph must be 'chain'"),
        (np.ones((2, 2)), r"each of the 3 tasks, got shape \(2, 2\)"),
        (-WEIGHTS, "must be zero or more, but that of 'a' and 'b' is -2"),
        (np.full((3, 3), np.nan), "must be zero or more"),
        (np.triu(WEIGHTS), "same in both directions, but that of 'a' and 'b' is 2 and 0"),
        (np.eye(3), "zero from a task to itself, but that of 'a' and 'a' is 1"),
        ([("a", "z")], "there is no task 'z'; the tasks are a, b, c"),
        ([("a", 3)], "there is no task 3"),
        ([("a", "b", -1.0)], "weight of 'a' and 'b' must be zero or more; got -1.0"),
        ([("a", "b", "strong")], "weight of 'a' and 'b' must be zero or more; got 'strong'"),
        ([("a", "b"), ("b", "a")], "edge of 'b' and 'a' is given twice"),
        ([("a", "a")], "zero from a task to itself"),
        (["ab"], r"an edge is \(task, task\) or \(task, task, weight\); got 'ab'"),
        ({"ab": 1.0}, "keys of a mapping are pairs of tasks; got 'ab'"),
        (pd.DataFrame(np.zeros((3, 3)), NAMES, ["a", "b", "z"]), "'z' is no task"),
        (pd.DataFrame(np.zeros((2, 3)), ["a", "b"], NAMES), "'c' has no index entry"),
    ],
)
def test_graphs_that_make_no_sense_are_refused(graph, words):
    with pytest.raises(SettingError, match=words):
        task_graph(graph, NAMES)
