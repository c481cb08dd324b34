from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from problems import wide_problem

from polytask.errors import DataError
from polytask.linear import GroupLasso, TaskRidge

X, Y = wide_problem()
NAMED = pd.DataFrame(Y, columns=["u", "v", "w"])


def test_a_single_task_is_scored_under_its_own_name():
    model = TaskRidge().fit(X, NAMED[["u"]])
    for y in (NAMED[["v"]], NAMED["v"]):
        with pytest.raises(DataError, match="lacks the task 'u'"):
            model.score(X, y)
    assert model.score(X, NAMED["u"]) == model.score(X, NAMED[["u"]]) == model.score(X, Y[:, 0])
    # Without a name at fit, a target may have one later.
    unnamed = TaskRidge().fit(X, Y[:, 0])
    assert unnamed.score(X, NAMED["u"]) == unnamed.score(X, NAMED[["u"]]) == unnamed.score(X, Y[:, 0])


@pytest.mark.parametrize("y", [NAMED[:-1], Y[:-1], Y[:, :2]], ids=["frame", "array", "columns"])
def test_targets_of_another_shape_are_refused(y):
    with pytest.raises(DataError, match="y has"):
        TaskRidge().fit(X, NAMED).score(X, y)


@pytest.mark.parametrize(
    "weight",
    [np.ones(59), np.ones((60, 2)), -np.ones(60), np.r_[np.nan, np.ones(59)], ["a"] * 60],
    ids=["short", "table", "negative", "NaN", "text"],
)
def test_weights_that_fit_refuses_are_refused(weight):
    with pytest.raises(DataError, match="sample_weight must hold"):
        TaskRidge().fit(X, Y).score(X, Y, weight)


def test_a_score_of_nothing_is_refused():
    model = TaskRidge().fit(X, Y)
    with pytest.raises(DataError, match="nothing to score"):
        model.score(X, Y, np.zeros(60))
    with pytest.raises(DataError, match="nothing to score"):
        model.score(X, np.full_like(Y, np.nan))


def test_labels_that_the_loss_cannot_take_are_refused_by_name():
    labels = NAMED.median() < NAMED
    model = GroupLasso(0.02, loss="logistic").fit(X, labels)
    text = labels.astype(object)
    text.loc[3, "v"] = "maybe"
    with pytest.raises(
        DataError, match=r"Task 'v' has the label 'maybe' in y, but was fitted on .*False, True"
    ):
        model.score(X, text)
    assert model.score(X, labels.astype(int)) == model.score(X, labels)
    with pytest.raises(DataError, match="Task 'u' has 'a' in y, which is not a number"):
        TaskRidge().fit(X, NAMED).score(X, NAMED.astype(object).replace(NAMED.loc[0, "u"], "a"))
    with pytest.raises(DataError, match="infinite"):
        TaskRidge().fit(X, NAMED).score(X, NAMED.replace(NAMED.loc[0, "u"], np.inf))
    counts = labels.astype(float)
    with pytest.raises(DataError, match="Task 'w' has the label -1"):
        GroupLasso(0.02, loss="poisson").fit(X, counts).score(X, counts.assign(w=-1.0))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([0, 1], "mapping of task name"),
        ({"u": [0, 60]}, "no row 60 among 60"),
        ({"u": [-61]}, "no row -61"),
        ({"u": [0.5]}, "list of row indices"),
        ({"u": 3}, "list of row indices"),
    ],
)
def test_rows_to_predict_that_are_not_there_are_refused(rows, message):
    with pytest.raises(DataError, match=message):
        TaskRidge().fit(X, NAMED).predict_tasks(X, rows)


def test_rows_to_predict_are_indices_or_all():
    model = TaskRidge().fit(X, NAMED)
    some = model.predict_tasks(X, {"v": [3, 1], "w": None, "u": []})
    np.testing.assert_array_equal(some["v"], model.predict(X)[[3, 1], 1])
    np.testing.assert_array_equal(some["w"], model.predict(X)[:, 2])
    assert some["u"].shape == (0,)
