import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from polytask import Task, TaskData
from polytask.errors import DataError, PolytaskError, PolytaskWarning


def wide(n=30, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"a": rng.normal(size=n), "c": rng.choice(["u", "v"], n)})
    Y = pd.DataFrame({"number": rng.normal(size=n), "label": rng.choice(["no", "yes"], n)})
    return X, Y


@pytest.mark.parametrize("convert", [lambda f: f, pl.from_pandas])
def test_kinds_are_inferred_from_the_columns(convert):
    X, Y = wide()
    Y["three"] = np.tile(["x", "y", "z"], 10)
    Y["zero_one"] = np.tile([0.0, 1.0, np.nan], 10)
    Y["flag"] = np.arange(30) % 2 == 0
    data = TaskData.from_wide(convert(X), convert(Y))
    assert {t.name: t.kind for t in data.tasks} == {
        "number": "regression",
        "label": "binary",
        "three": "multiclass",
        "zero_one": "binary",
        "flag": "binary",
    }
    assert data.task("three").classes == ("x", "y", "z")
    assert len(data.rows["zero_one"]) == 20


def test_kinds_can_be_overridden():
    X, Y = wide()
    Y["visits"] = np.arange(30) % 4
    data = TaskData.from_wide(X, Y, tasks=[Task("visits", "counts")])
    assert data.task("visits").kind == "counts"


def test_missing_targets_are_not_rows_of_the_task():
    X, Y = wide()
    Y.loc[[2, 5], "number"] = np.nan
    data = TaskData.from_wide(X, Y)
    assert 2 not in data.rows["number"]
    assert len(data.rows["number"]) == 28
    np.testing.assert_array_equal(data.targets["number"], Y["number"].dropna().to_numpy())


def test_three_forms_of_one_problem_agree():
    rng = np.random.default_rng(1)
    X = pd.DataFrame(rng.normal(size=(20, 2)), columns=["a", "b"])
    y = rng.normal(size=20)
    task = np.repeat(["s", "t"], 10)
    long = TaskData.from_long(X.assign(task=task, y=y), task="task", target="y")
    each = TaskData.from_dict({s: (X[task == s], y[task == s]) for s in ("s", "t")})
    for s in ("s", "t"):
        np.testing.assert_array_equal(long.targets[s], each.targets[s])
        np.testing.assert_array_equal(long.rows[s], each.rows[s])
    np.testing.assert_array_equal(long.X.to_numpy(), each.X.to_numpy())


def test_subset_keeps_labels_with_their_rows():
    X, Y = wide()
    Y.loc[3, "number"] = np.nan
    data = TaskData.from_wide(X, Y)
    part = data.subset(np.array([7, 3, 1]))
    np.testing.assert_array_equal(part.rows["number"], [0, 2])
    np.testing.assert_array_equal(part.targets["number"], Y["number"].to_numpy()[[7, 1]])
    assert part.X["a"].tolist() == X["a"].to_numpy()[[7, 3, 1]].tolist()


def test_sparse_features_stay_sparse():
    X = sp.random(20, 5, density=0.3, random_state=0, format="csc")
    data = TaskData.from_wide(X, np.random.default_rng(0).normal(size=(20, 2)))
    assert sp.issparse(data.subset(np.arange(5)).X)


def test_multilabel_and_soft_targets():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 2))
    labels = (rng.random((20, 3)) > 0.5).astype(float)
    labels[0, 1] = np.nan
    data = TaskData.from_wide(
        X, {"tags": labels, "p": rng.random(20)}, tasks=[Task("p", "binary", soft=True)]
    )
    assert data.task("tags").kind == "multilabel"
    assert data.task("tags").n_outputs == 3
    assert np.isnan(data.targets["tags"][0, 1])
    assert set(np.unique(data.targets["p"])) - {0.0, 1.0}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda X, Y: (X, Y.assign(number=np.nan)), "'number' has no values"),
        (lambda X, Y: (X, Y.assign(number=3.0)), "'number' is constant"),
        (lambda X, Y: (X, Y.assign(label="no")), "'label' has one label only"),
        (lambda X, Y: (X, Y.assign(number=np.r_[np.inf, Y.number[1:]])), "'number' has 1 infinite"),
        (
            lambda X, Y: (X, Y.assign(number=["x", *Y.number[1:]])),
            "'number' holds numbers but also text in 1",
        ),
        (lambda X, Y: (X.assign(a=[*X.a[:-1], -np.inf]), Y), "'a' has 1 infinite"),
        (
            lambda X, Y: (X.assign(a=[1e300, *X.a[1:]]), Y),
            r"'a' has 1 values beyond ±1e\+100, first in row 0",
        ),
        (
            lambda X, Y: (X.assign(a=np.r_[np.float32(np.inf), X.a[1:]].astype("float32")), Y),
            "'a' has 1 infinite",
        ),
        (lambda X, Y: (X.assign(a=pd.Series([np.inf, *X.a[1:]], dtype=object)), Y), "'a' has 1 infinite"),
        (
            lambda X, Y: (X, Y.assign(number=np.r_[1e300, Y.number[1:]])),
            r"'number' has 1 values beyond ±1e\+100",
        ),
        (lambda X, Y: (X.to_numpy(object), {"y": np.r_[1e300, Y.number[1:]]}), "'y' has 1 values beyond"),
        (
            lambda X, Y: (np.c_[Y.number, [np.inf, *X.a[1:]]], {"y": X.a}),
            "'x1' has 1 infinite values, first in row 0",
        ),
        (
            lambda X, Y: (sp.csr_matrix([[0, 1.0], [0, 2], [1e200, 0]]), {"y": [1, 2, 4]}),
            "'x0' has 1 .*first in row 2",
        ),
        (lambda X, Y: (X.assign(a=["?", *X.a[1:]]), Y), "'a' holds numbers but also text"),
        (lambda X, Y: (X.assign(number=1.0), Y), "'number' is also a column of the features"),
        (lambda X, Y: (X.assign(copy=Y.number), Y), "'copy' is a copy of target 'number'"),
        (lambda X, Y: (pd.concat([X, X], axis=1), Y), "more than one column named 'a'"),
        (lambda X, Y: (X.iloc[:-1], Y), "X has 29 rows"),
        (lambda X, Y: (X.assign(day=pd.Timestamp("2020-01-01")), Y), "'day' holds dates"),
        (lambda X, Y: (X.iloc[:0], Y), "at least one row"),
    ],
)
def test_bad_input_is_named(change, says):
    X, Y = change(*wide())
    with pytest.raises(DataError, match=says):
        TaskData.from_wide(X, Y)


def test_missing_columns_come_with_a_suggestion():
    X, Y = wide()
    with pytest.raises(DataError, match="Did you mean 'number'"):
        TaskData.from_frame(pd.concat([X, Y], axis=1), targets=["nunber"])
    with pytest.raises(DataError, match="No column 'group'"):
        TaskData.from_frame(pd.concat([X, Y], axis=1), targets=["number"], groups="group")


def test_from_frame_takes_targets_groups_and_time_out_of_the_features():
    X, Y = wide()
    frame = pd.concat([X, Y], axis=1).assign(g=np.arange(30) // 3, t=pd.date_range("2020", periods=30))
    data = TaskData.from_frame(frame, targets=["number"], groups="g", time="t", drop=["label"])
    assert data.feature_names == ["a", "c"]
    assert data.groups[5] == 1
    assert data.time is not None


def test_id_columns_are_warned_about():
    X, Y = wide()
    with pytest.warns(PolytaskWarning, match="'row' looks like an identifier"):
        TaskData.from_wide(X.assign(row=np.arange(30)), Y)


def test_long_tasks_with_nothing_to_learn_are_named_and_kept():
    X, _ = wide()
    frame = X.assign(
        task=["one"] + ["two"] * 14 + ["three"] * 15, y=np.r_[1.0, np.random.default_rng(0).normal(size=29)]
    )
    with pytest.warns(PolytaskWarning, match="one"):
        data = TaskData.from_long(frame, task="task", target="y")
    assert data.task_names == ["one", "two", "three"]


def test_tables_of_a_dict_must_have_the_same_columns():
    X, Y = wide()
    with pytest.raises(DataError, match="task 't' lacks 1 columns"):
        TaskData.from_dict({"s": (X, Y["number"]), "t": (X[["a"]], Y["number"])})


values = st.one_of(
    st.none(), st.floats(-5, 5), st.integers(-3, 3), st.booleans(), st.sampled_from(["", "a", "b", "1.5"])
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(values, min_size=1, max_size=12),
    arrays(float, st.tuples(st.just(12), st.integers(1, 3)), elements=st.floats(allow_nan=True, width=32)),
)
def test_any_table_is_taken_or_refused_by_name(target, X):
    """Fuzz: whatever comes in, the result is a consistent TaskData or an error of polytask's own."""
    Y = np.empty(len(target), dtype=object)
    Y[:] = target
    try:
        data = TaskData.from_wide(X[: len(target)], {"y": Y})
    except PolytaskError:
        return
    rows, y = data.rows["y"], data.targets["y"]
    assert len(rows) == len(y) == len(data.weights["y"]) >= 2
    assert (np.diff(rows) > 0).all()
    assert np.isfinite(y).all()
    missing = [v is None or v == "" for v in target]
    assert not any(missing[i] for i in rows)
    assert len(rows) == len(target) - sum(missing)


def test_frames_whose_columns_are_numbers():
    X, Y = wide()
    numbered = pd.DataFrame({3: X["a"], 7: X["c"]})
    data = TaskData.from_wide(numbered, pd.DataFrame({0: Y["number"]}))
    assert (data.feature_names, data.task_names) == (["3", "7"], ["0"])
    assert numbered.columns.tolist() == [3, 7]
    both = pd.DataFrame({0: X["a"], 1: Y["number"], 2: np.arange(30) % 4, 3: np.arange(30) % 3})
    data = TaskData.from_frame(both, targets=[1], groups=2, drop=[3])
    assert (data.feature_names, data.task_names) == (["0"], ["1"])
    long = TaskData.from_long(both, task=2, target=1, groups=3)
    assert (long.feature_names, long.task_names, long.task_column) == (["0"], ["0", "1", "2", "3"], "2")


def test_a_task_that_the_data_do_not_have_is_named_in_every_form():
    X, Y = wide()
    extra = [Task("numbr", "regression")]
    long = X.assign(s=np.repeat(["u", "v"], 15), y=Y["number"])
    for make in (
        lambda: TaskData.from_wide(X, Y, tasks=extra),
        lambda: TaskData.from_long(long, task="s", target="y", tasks=extra),
        lambda: TaskData.from_dict({"number": (X, Y["number"])}, tasks=extra),
    ):
        with pytest.raises(DataError, match="Task 'numbr' has no targets in the data"):
            make()


def test_long_tables_check_groups_times_weights_and_dropped_columns_too():
    X, Y = wide()
    long = X.assign(
        s=np.repeat(["u", "v"], 15), y=Y["number"], g=[np.nan, *range(29)], w=["a lot", *[1] * 29]
    )
    with pytest.raises(DataError, match="groups is missing in 1 of 30 rows"):
        TaskData.from_long(long, task="s", target="y", groups="g", drop=["w"])
    with pytest.raises(DataError, match="time is missing in 1 of 30 rows"):
        TaskData.from_long(long, task="s", target="y", time="g", drop=["w"])
    with pytest.raises(DataError, match="sample_weight holds text in 1 of 30 rows"):
        TaskData.from_long(long, task="s", target="y", sample_weight="w", drop=["g"])
    with pytest.raises(DataError, match="No column 'gg'"):
        TaskData.from_long(long, task="s", target="y", drop=["gg"])
