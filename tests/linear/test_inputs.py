from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from problems import wide_problem
from sklearn.model_selection import GridSearchCV, cross_val_score

from polytask.errors import DataError, SettingError
from polytask.linear import GroupLasso, Moments, TaskLasso, TaskRidge, TaskRidgeCV

X, Y = wide_problem()
STAMPS = list(pd.date_range("2020-01-01", periods=3))
PAIRS = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)])


@pytest.mark.parametrize("names", [range(3), [0.5, 1.5, 2.5], [None, "a", 1], STAMPS, PAIRS], ids=str)
def test_columns_of_y_may_have_names_of_any_type(names):
    table = pd.DataFrame(Y, columns=names)
    model = GroupLasso(0.1).fit(X, table)
    assert model.task_names_ == tuple(str(name) for name in table.columns)
    expected = GroupLasso(0.1).fit(X, Y)
    assert model.score(X, table) == pytest.approx(expected.score(X, Y))
    # By name, in whatever order.
    assert model.score(X, table.iloc[:, ::-1]) == pytest.approx(expected.score(X, Y))
    np.testing.assert_allclose(cross_val_score(model, X, table), cross_val_score(expected, X, Y))
    search, by_array = (GridSearchCV(GroupLasso(), {"alpha": [10.0, 0.01]}).fit(X, y) for y in (table, Y))
    assert search.best_params_ == by_array.best_params_
    classes = table > table.median()
    by_frame = GroupLasso(0.02, loss="logistic").fit(X, classes)
    np.testing.assert_allclose(
        by_frame.coef_, GroupLasso(0.02, loss="logistic").fit(X, classes.to_numpy()).coef_
    )


def test_names_that_are_one_text_are_refused_in_every_form():
    with pytest.raises(DataError, match="the task '1' twice, as 1 and as '1'"):
        TaskRidge().fit(X, pd.DataFrame(Y[:, :2], columns=[1, "1"]))
    with pytest.raises(DataError, match="the task 'a' twice"):
        TaskRidge().fit(X, pd.DataFrame(Y[:, :2], columns=["a", "a"]))
    with pytest.raises(DataError, match="the task '1' twice, as 1 and as '1'"):
        TaskRidge().fit({1: (X, Y[:, 0]), "1": (X, Y[:, 1])})
    entries = np.array([1, "1"] * 30, dtype=object)
    with pytest.raises(DataError, match="the task '1' twice, as 1 and as '1'"):
        TaskRidge(task_column="t").fit(pd.DataFrame(X).assign(t=entries), Y[:, 0])
    twice = pd.DataFrame(X[:, :3], columns=["a", "b", "a"])
    with pytest.raises(DataError, match="X has more than one column named 'a'"):
        TaskRidge().fit(twice, Y)
    with pytest.raises(DataError, match="X has more than one column named 'a'"):
        TaskRidge(task_column="t").fit(twice.assign(t="u"), Y[:, 0])


DAYS = np.arange(60).astype("datetime64[D]")


@pytest.mark.parametrize(
    "dates", [DAYS, DAYS.astype("datetime64[ns]"), DAYS - DAYS[0]], ids=["days", "stamps", "durations"]
)
def test_dates_and_durations_are_no_targets(dates):
    other = pd.DataFrame({"u": Y[:, 0], "v": dates})
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(8)]).assign(t="v")
    for fit in (
        lambda: TaskRidge().fit(X, other),
        lambda: TaskRidge().fit(X, pl.from_pandas(other)),
        lambda: TaskRidge().fit(X, pd.Series(dates, name="v")),
        lambda: TaskRidge().fit({"u": (X, Y[:, 0]), "v": (X, dates)}),
        lambda: GroupLasso(loss="logistic").fit(X, pd.Series(dates, name="v")),
    ):
        with pytest.raises(DataError, match="Task 'v' holds dates or durations"):
            fit()
    for y in (dates, np.array(pd.Series(dates).tolist(), dtype=object), np.column_stack([dates, dates])):
        with pytest.raises(DataError, match="Task 'y0' holds dates or durations"):
            TaskRidge().fit(X, y)
    with pytest.raises(DataError, match="holds dates or durations"):
        TaskRidge(task_column="t").fit(frame, dates)


def test_a_fit_leaves_nothing_of_the_last_one():
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(8)])
    model = GroupLasso(0.1).fit(frame, Y)
    assert hasattr(model, "feature_names_in_")
    model.fit(Moments.from_arrays(X, Y))
    assert not hasattr(model, "feature_names_in_")
    model.set_params(loss="logistic").fit(X, np.median(Y, axis=0) < Y)
    assert model.classes_.tolist() == [False, True]
    model.set_params(loss="squared").fit(X, Y)
    assert not hasattr(model, "classes_")
    chosen = TaskRidgeCV(loss="squared").fit(X, Y)
    chosen.set_params(loss="logistic").fit(X, np.median(Y, axis=0) < Y)
    assert not hasattr(chosen, "mse_path_")
    with pytest.raises(ValueError, match="inconsistent"):
        model.fit(X, Y[:5])
    assert not hasattr(model, "coef_")


def test_a_warm_start_keeps_where_it_starts():
    model = GroupLasso(0.1, warm_start=True, tol=1e-9, loss="logistic").fit(X, np.median(Y, axis=0) < Y)
    cold = model.n_iter_
    assert model.fit(X, np.median(Y, axis=0) < Y).n_iter_ < cold


@pytest.mark.parametrize("factors", ["abc", ["a"] * 8, [[1], [1, 2]], {"a": 1}], ids=str)
def test_penalties_that_are_no_numbers_are_refused(factors):
    with pytest.raises(SettingError, match="penalty_factors must be made of numbers"):
        GroupLasso(0.1, penalty_factors=factors).fit(X, Y)
    with pytest.raises(SettingError, match="alpha must be made of numbers"):
        TaskLasso(factors).fit(X, Y)
    with pytest.raises(SettingError, match="alphas must be made of numbers"):
        TaskRidgeCV(alphas=factors).fit(X, Y)
    with pytest.raises(SettingError, match="relax must be made of numbers"):
        GroupLasso(0.1, relax=factors).fit(X, Y)
