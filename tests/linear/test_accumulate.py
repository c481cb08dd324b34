from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from problems import assert_same_moments, wide_problem
from scipy import sparse

from polytask.data import TaskData
from polytask.errors import DataError
from polytask.linear.accumulate import MomentsAccumulator, with_tasks
from polytask.linear.moments import Moments


def cut(*tables, at=(13, 40)):
    return zip(*(np.split(table, at) for table in tables))


@pytest.mark.parametrize("as_table", [np.asarray, sparse.csr_matrix, pd.DataFrame, np.asfortranarray])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_chunks_add_up_to_the_whole(as_table, missing):
    X, Y = wide_problem(missing=missing)
    w = np.random.default_rng(1).uniform(0, 2, len(X))
    w[5:9] = 0
    chunks = [(as_table(x), y, v) for x, y, v in cut(X, Y, w)]
    assert_same_moments(Moments.from_chunks(chunks), Moments.from_arrays(X, Y, w))
    assert_same_moments(Moments.from_chunks(chunk[:2] for chunk in chunks), Moments.from_arrays(X, Y))


def test_single_precision_is_summed_in_double_precision():
    X, Y = wide_problem(n=5000, p=4)
    X = (X + 1000).astype(np.float32)
    moments = Moments.from_chunks(zip(np.array_split(X, 7), np.array_split(Y, 7)))
    assert moments.gram.dtype == np.float64
    assert_same_moments(moments, Moments.from_arrays(X.astype(float), Y))


def test_tasks_share_a_gram_until_a_chunk_tells_them_apart():
    X, Y = wide_problem(q=4)
    Y[50:, 2] = np.nan
    Y[:10, 3] = np.nan
    accumulator = MomentsAccumulator()
    patterns = []
    for chunk in cut(X, Y):
        patterns.append(accumulator.partial_fit(*chunk).moments().pattern.tolist())
    first, second, third = patterns
    assert first == second == [0, 0, 0, 1]
    assert third[0] == third[1]
    assert len(set(third)) == 3
    assert_same_moments(accumulator.moments(), Moments.from_arrays(X, Y))


def test_a_task_without_labels_in_a_chunk_keeps_what_it_has():
    X, Y = wide_problem()
    Y[:40, 1] = np.nan
    moments = Moments.from_chunks(cut(X, Y))
    assert moments.n_labels.tolist() == [60, 20, 60]
    assert_same_moments(moments, Moments.from_arrays(X, Y))


def test_a_task_per_row_a_table_per_task_and_task_data_agree():
    X, Y = wide_problem(q=1)
    y, w = Y[:, 0].copy(), np.random.default_rng(0).uniform(1, 2, 60)
    y[3] = np.nan
    task = np.random.default_rng(1).integers(7, 10, 60)
    task[:13] = 8
    named = [str(k) for k in (8, 7, 9)]
    tables = {str(k): (X[task == k], y[task == k], w[task == k]) for k in (8, 7, 9)}
    whole = Moments.from_chunks([tables])
    assert whole.task_names == tuple(named)
    for k in (7, 8, 9):
        expected = Moments.from_arrays(X[task == k], y[task == k], w[task == k], task_names=[str(k)])
        assert_same_moments(whole.select([str(k)]), expected)
    by_row = Moments.from_chunks(cut(X, y, w, task))
    assert by_row.task_names[0] == "8"
    assert_same_moments(by_row.select(named), whole)
    as_text = Moments.from_chunks(cut(X, y, w, task.astype(str).astype(object)), task_names=named)
    assert_same_moments(as_text, whole)
    known = ~np.isnan(y)
    data = TaskData.from_dict(
        {name: (X[known & (task == int(name))], y[known & (task == int(name))]) for name in named}
    )
    assert_same_moments(
        Moments.from_chunks([data]), Moments.from_chunks([{n: t[:2] for n, t in tables.items()}])
    )


def test_sparse_tables_of_tasks_are_stacked():
    X, Y = wide_problem(q=1)
    dense = {"a": (X[:20], Y[:20]), "b": (X[20:], Y[20:])}
    thin = {name: (sparse.csr_matrix(x), y) for name, (x, y) in dense.items()}
    assert_same_moments(Moments.from_chunks([thin]), Moments.from_chunks([dense]))


def test_names_come_from_frames():
    X, Y = wide_problem(p=3, q=2)
    frame, targets = pd.DataFrame(X, columns=list("abc")), pd.DataFrame(Y, columns=["u", "v"])
    moments = Moments.from_chunks([(frame[:30], targets[:30]), (frame[30:], targets[30:])])
    assert moments.feature_names == ("a", "b", "c")
    assert moments.task_names == ("u", "v")
    with pytest.raises(DataError, match=r"Chunk 1: Feature 1 is 'b' in one part and 'c'"):
        Moments.from_chunks([(frame, targets), (frame[["a", "c", "b"]], targets)])
    with pytest.raises(DataError, match=r"Chunk 1.*no task named 'w'"):
        Moments.from_chunks([(frame, targets), (frame, targets.rename(columns={"v": "w"}))])


def test_new_tasks_join_without_labels():
    X, Y = wide_problem(missing=0.2)
    moments = Moments.from_arrays(X, Y, task_names=["a", "b", "c"])
    more = with_tasks(moments, ("c", "new", "a", "b"))
    assert more.n_labels[1] == 0
    assert not more.target_gram[1].any()
    assert_same_moments(more.select(["a", "b", "c"]), moments)
    assert_same_moments((more + more).select(["a", "b", "c"]), moments + moments)


def test_a_refused_chunk_leaves_the_sums_as_they_were():
    X, Y = wide_problem()
    accumulator = MomentsAccumulator().partial_fit(X, Y)
    bad = X.copy()
    bad[4, 2] = np.nan
    with pytest.raises(DataError, match="Chunk 1: feature 2 is NaN or infinite in 1 rows, first in row 4"):
        accumulator.partial_fit(bad, Y)
    assert accumulator.n_chunks == 1
    assert_same_moments(accumulator.moments(), Moments.from_arrays(X, Y))


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        ((np.ones((4, 2)), np.ones(3)), "X has 4 rows, but Y has 3"),
        ((np.ones(4), np.ones(4)), "two dimensions"),
        ((np.ones((4, 2)),), "targets are missing"),
        ((np.ones((4, 2)), np.ones(4), -np.ones(4)), "zero or more"),
        ((np.ones((4, 2)), np.ones(4), np.ones(3)), "3 rows|sample_weight"),
        ((np.ones((4, 2)), np.ones((4, 2)), None, np.ones(4)), "one column"),
        ((np.ones((4, 2)), pd.DataFrame(np.ones((4, 2)), columns=["a", "a"])), "two columns named 'a'"),
        ((np.ones((4, 2)), np.ones(4), None, np.ones(3)), "task has 3 entries"),
        (
            (np.ones((4, 2)), np.ones(4), None, np.array(["a", None, "b", "b"], dtype=object)),
            "missing in 1 of 4",
        ),
        ((np.full((4, 2), "red"), np.ones(4)), "Encode text"),
        ((np.ones((4, 2)), np.array([1, 2, np.inf, 3])), "'y0' holds infinite"),
        (({"a": (np.ones((4, 2)), np.ones(4))}, np.ones(4)), "pass it alone"),
        (({"a": (np.ones((4, 2)), np.ones(4)), "b": (np.ones((4, 3)), np.ones(4))},), "3 features"),
        (({"a": (np.ones((4, 2)), np.ones((4, 2)))},), "one column"),
    ],
)
def test_bad_chunks_are_refused_by_name(chunk, message):
    with pytest.raises(DataError, match=message):
        MomentsAccumulator().partial_fit(*chunk)


def test_sparse_features_that_are_not_finite_are_refused():
    X, Y = wide_problem()
    X[7, 3] = np.inf
    with pytest.raises(DataError, match="feature 3 is NaN or infinite in 1 rows, first in row 7"):
        MomentsAccumulator().partial_fit(sparse.csr_matrix(X), Y)


def test_no_chunk_at_all_is_an_error():
    with pytest.raises(DataError, match="No chunk"):
        Moments.from_chunks([])


def test_unknown_tasks_are_refused_where_the_names_are_given():
    X, Y = wide_problem(q=1)
    with pytest.raises(DataError, match="no task named 'c'"):
        Moments.from_chunks([{"c": (X, Y)}], task_names=["a", "b"])


def test_empty_chunks_add_nothing():
    X, Y = wide_problem()
    assert_same_moments(Moments.from_chunks([(X[:0], Y[:0]), (X, Y)]), Moments.from_arrays(X, Y))
