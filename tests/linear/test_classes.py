from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from problems import wide_problem
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import KFold, cross_val_score

from polytask.data import TaskData
from polytask.errors import DataError, SettingError
from polytask.linear import GroupLasso, MeanRegularized
from polytask.tasks import Task

MODEL = GroupLasso(0.02, loss="logistic")


def labels():
    """X, and two columns of booleans."""
    X, Y = wide_problem(n=80, q=2)
    return X - X.mean(axis=0), np.median(Y, axis=0) < Y


def plain():
    X, Y = labels()
    return GroupLasso(0.02, loss="logistic").fit(X, Y.astype(int))


@pytest.mark.parametrize(
    ("names", "kind"), [((False, True), "b"), (("no", "yes"), "U"), ((3, 7), "i"), ((-1.5, 2.5), "f")]
)
def test_labels_of_any_type_come_back(names, kind):
    X, Y = labels()
    fitted = GroupLasso(0.02, loss="logistic").fit(X, np.array(names)[Y.astype(int)])
    np.testing.assert_allclose(fitted.coef_, plain().coef_, atol=1e-12)
    assert fitted.predict(X).dtype.kind == kind
    assert fitted.classes_.tolist() == list(names)
    np.testing.assert_array_equal(fitted.predict(X), np.array(names)[plain().predict(X)])


def test_each_task_may_have_classes_of_its_own_type():
    X, Y = labels()
    frame = pd.DataFrame({"sick": Y[:, 0], "group": np.where(Y[:, 1], "treated", "control")})
    for table in (frame, pl.from_pandas(frame)):
        fitted = GroupLasso(0.02, loss="logistic").fit(X, table)
        np.testing.assert_allclose(fitted.coef_, plain().coef_, atol=1e-12)
        assert [names.tolist() for names in fitted.classes_] == [[False, True], ["control", "treated"]]
        assert set(map(tuple, fitted.predict(X))) <= {
            (a, b) for a in (False, True) for b in ("control", "treated")
        }
        assert fitted.score(X, table) == plain().score(X, Y.astype(int))


def test_missing_labels_of_any_kind_are_left_out():
    X, Y = labels()
    holed = Y.astype(float)
    holed[:10, 0] = holed[70:, 1] = np.nan
    expected = GroupLasso(0.02, loss="logistic").fit(X, holed)
    text = np.where(np.isnan(holed), None, np.where(holed == 1, "yes", "no"))
    frame = pd.DataFrame(text, columns=["a", "b"])
    nullable = pd.DataFrame(holed, columns=["a", "b"]).astype("boolean")
    for table in (text, frame, frame.astype("string"), nullable, nullable.astype("Int64")):
        fitted = GroupLasso(0.02, loss="logistic").fit(X, table)
        np.testing.assert_allclose(fitted.coef_, expected.coef_, atol=1e-12)
        assert fitted.score(X, table) == expected.score(X, holed)


def test_probabilities_are_those_of_the_second_class():
    X, Y = labels()
    fitted = plain()
    table, flat = fitted.predict_proba(X), GroupLasso(0.02, loss="logistic").fit(X, Y[:, 0]).predict_proba(X)
    assert table.shape == (80, 2)
    np.testing.assert_allclose(table, 1 / (1 + np.exp(-fitted.decision_function(X))))
    assert flat.shape == (80, 2)
    np.testing.assert_allclose(flat.sum(axis=1), 1.0)
    np.testing.assert_array_equal(np.column_stack(list(fitted.predict_tasks(X).values())), table)
    assert roc_auc_score(Y.astype(int), table) > 0.8
    assert log_loss(Y[:, 0], flat) < np.log(2)
    assert not hasattr(GroupLasso(), "predict_proba")


def test_scikit_learn_scores_multilabel_tables():
    X, Y = labels()
    folds = KFold(4, shuffle=True, random_state=0)
    for scoring in ("roc_auc", "f1_macro", "accuracy"):
        scores = cross_val_score(MODEL, X, Y.astype(int), cv=folds, scoring=scoring)
        assert np.isfinite(scores).all()
        assert scores.mean() > 0.4


def test_binary_and_soft_tasks():
    X, Y = labels()
    names = np.where(Y, "yes", "no")
    data = TaskData.from_wide(X, {"a": names[:, 0], "b": Y[:, 1].astype(int)})
    fitted = GroupLasso(0.02, loss="logistic").fit(data)
    np.testing.assert_allclose(fitted.coef_, plain().coef_, atol=1e-12)
    assert fitted.predict(X)[0].tolist()[0] in ("yes", "no")
    soft = np.clip(Y * 0.8 + 0.1, 0, 1)
    tasks = [Task("a", "binary", soft=True), Task("b", "binary", soft=True)]
    by_share = GroupLasso(1e-3, loss="logistic", tol=1e-10).fit(
        TaskData.from_wide(X, {"a": soft[:, 0], "b": soft[:, 1]}, tasks)
    )
    # A share of 0.9 is nine labels of the one class and one of the other.
    twice = GroupLasso(1e-3, loss="logistic", tol=1e-10).fit(
        np.vstack([X, X]), np.vstack([Y, ~Y]).astype(int), np.repeat([0.9, 0.1], 80)
    )
    np.testing.assert_allclose(by_share.coef_, twice.coef_, atol=1e-6)


def test_tasks_of_a_dict_have_classes_of_their_own():
    X, Y = labels()
    tables = {"a": (X[:50], np.where(Y[:50, 0], "x", "o")), "b": (X[30:], Y[30:, 1].astype(int))}
    fitted = MeanRegularized(loss="logistic").fit(tables)
    frame = pd.DataFrame(X[:4], columns=[f"x{j}" for j in range(8)])
    assert fitted.predict(X[:4]).dtype == object
    named = TaskData.from_dict({
        name: (pd.DataFrame(table, columns=frame.columns), y) for name, (table, y) in tables.items()
    })  # fmt: skip
    own = MeanRegularized(loss="logistic").fit(named).predict(frame.assign(task=["a", "b", "a", "b"]))
    assert own.tolist()[0] in ("x", "o")
    assert own.tolist()[1] in (0, 1)


def test_what_has_not_two_classes_is_refused_by_name():
    X, Y = labels()
    for column, words in (
        (np.ones(80), "Task 'y1' has 1 class"),
        (np.arange(80) % 3, "Task 'y1' has 3 classes"),
    ):
        with pytest.raises(DataError, match=words):
            GroupLasso(loss="logistic").fit(X, np.column_stack([Y[:, 0], column]))
    mixed = np.array([1, "a"] * 40, dtype=object)
    with pytest.raises(DataError, match="mixes labels of the types int, str"):
        GroupLasso(loss="logistic").fit(X, pd.DataFrame({"u": mixed, "v": mixed}))
    with pytest.raises(DataError, match="Task 'y0' is regression"):
        GroupLasso(loss="logistic").fit(TaskData.from_wide(X, X[:, :1] * 1.5 + 0.1))


def test_counts():
    X, Y = labels()
    counts = np.random.default_rng(0).poisson(np.exp(X[:, :2] / 3)).astype(float)
    with pytest.raises(DataError, match="Task 'y1' has the label -1"):
        GroupLasso(loss="poisson").fit(X, np.column_stack([counts[:, 0], np.where(Y[:, 0], -1, 1)]))
    with pytest.raises(DataError, match="Task 'y1' has only zeros"):
        GroupLasso(loss="poisson").fit(X, np.column_stack([counts[:, 0], 0 * counts[:, 1]]))
    with pytest.raises(SettingError, match="scale_targets"):
        GroupLasso(loss="poisson", scale_targets=True).fit(X, counts)
    task = [Task("a", "counts"), Task("b", "counts")]
    data = TaskData.from_wide(X, {"a": counts[:, 0], "b": counts[:, 1]}, task)
    fitted = GroupLasso(0.01, loss="poisson").fit(data)
    np.testing.assert_array_equal(fitted.coef_, GroupLasso(0.01, loss="poisson").fit(X, counts).coef_)
    assert fitted.score(X, counts) > 0.1


def long_form(X, Y, names=("a", "b")):
    """The rows of each task under those of the task before, as a frame with a task column, and the labels."""
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    whole = pd.concat([frame.assign(task=name) for name in names], ignore_index=True)
    return whole, np.concatenate(list(Y.T))


def test_a_task_of_one_class_is_refused_by_name_in_every_form():
    X, Y = labels()
    Y[:, 1] = False
    frame, y = long_form(X, Y)
    for fit in (
        lambda: MODEL.fit(X, pd.DataFrame(Y, columns=["a", "b"])),
        lambda: MODEL.fit({"a": (X, Y[:, 0]), "b": (X, Y[:, 1])}),
        lambda: GroupLasso(loss="logistic", task_column="task").fit(frame, y),
    ):
        with pytest.raises(DataError, match="Task 'b' has 1 class"):
            fit()


@pytest.mark.parametrize("names", [(0, 1), (1, 2), (-1.5, 2.5), ("no", "yes"), (False, True)])
def test_dicts_and_long_tables_take_the_classes_that_arrays_take(names):
    X, Y = labels()
    Y = np.array(names)[Y.astype(int)]
    wide, by_dict, by_long = (MeanRegularized(loss="logistic", tol=1e-10) for _ in range(3))
    wide.fit(X, pd.DataFrame(Y, columns=["a", "b"]))
    by_dict.fit({"a": (X, Y[:, 0]), "b": (X, Y[:, 1])})
    frame, y = long_form(X, Y)
    by_long.set_params(task_column="task").fit(frame, y)
    for other, table in ((by_dict, X), (by_long, frame[:80].drop(columns="task"))):
        np.testing.assert_allclose(other.coef_, wide.coef_, atol=1e-5)
        assert np.array_equal(other.classes_, wide.classes_)
        assert (other.predict(table) == wide.predict(X)).mean() > 0.99


def test_tasks_of_a_long_table_may_have_classes_of_their_own():
    X, Y = labels()
    frame, _ = long_form(X, Y)
    y = np.concatenate([np.where(Y[:, 0], "sick", "well"), np.where(Y[:, 1], "on", "off")])
    model = GroupLasso(0.02, loss="logistic", task_column="task").fit(frame, y)
    assert [names.tolist() for names in model.classes_] == [["sick", "well"], ["off", "on"]]
    assert set(model.predict(frame)[80:]) <= {"on", "off"}
    assert model.score(frame, y) > 0.6
    y = y.astype(object)
    y[frame["task"] == "a"] = np.random.default_rng(0).choice(["x", "o", "z"], 80)
    with pytest.raises(DataError, match="Task 'a' has 3 classes"):
        model.fit(frame, y)


def test_a_task_without_labels_in_a_long_table_has_the_classes_of_the_others():
    X, Y = labels()
    frame, y = long_form(X, np.column_stack([Y, Y[:, 0]]), ("a", "b", "c"))
    y = y.astype(object)
    y[160:] = None
    model = GroupLasso(0.02, loss="logistic", task_column="task").fit(frame, y)
    assert model.classes_.tolist() == [False, True]
    y[:80] = np.where(Y[:, 0], "yes", "no")
    with pytest.raises(DataError, match="Task 'c' has no labels and the other tasks differ"):
        model.fit(frame, y)


@pytest.mark.parametrize("loss", ["squared", "poisson"])
def test_zeros_and_ones_are_numbers_to_losses_of_numbers_in_every_form(loss):
    X, Y = labels()
    Y = Y.astype(int)
    wide = MeanRegularized(loss=loss, tol=1e-10).fit(X, Y)
    for Z in (Y, Y.astype(float)):
        by_dict = MeanRegularized(loss=loss, tol=1e-10).fit({"y0": (X, Z[:, 0]), "y1": (X, Z[:, 1])})
        np.testing.assert_allclose(by_dict.coef_, wide.coef_, atol=1e-5)
