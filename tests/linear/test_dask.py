from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from problems import assert_same_moments, wide_problem

from polytask.errors import DataError, MissingPackageError
from polytask.linear.moments import Moments

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")


@pytest.fixture(autouse=True)
def _in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_arrays_give_the_moments_of_the_rows(missing, weighted):
    X, Y = wide_problem(n=200, missing=missing)
    w = np.random.default_rng(0).uniform(0.5, 2, len(X)) if weighted else None
    # More blocks than one step of the reduction adds, cut otherwise in Y and across columns.
    blocks = da.from_array(X, chunks=(17, 3)), da.from_array(Y, chunks=(30, 2))
    weights = None if w is None else da.from_array(w, chunks=50)
    assert_same_moments(Moments.from_dask(*blocks, weights), Moments.from_arrays(X, Y, w))


def test_blocks_of_unknown_size_need_only_match():
    X, Y = wide_problem(n=200)
    rows = da.from_array(np.hstack([X, Y]), chunks=(40, -1))
    kept = rows[rows[:, 0] > np.median(X[:, 0])]
    known = X[:, 0] > np.median(X[:, 0])
    assert_same_moments(Moments.from_dask(kept[:, :8], kept[:, 8:]), Moments.from_arrays(X[known], Y[known]))
    with pytest.raises(DataError, match="same blocks of rows"):
        Moments.from_dask(kept[:, :8], da.from_array(Y, chunks=(100, -1)))
    with pytest.raises(DataError, match=r"Block \d of rows: X has \d+ rows, but Y has 40"):
        Moments.from_dask(kept[:, :8], da.from_array(Y, chunks=(40, -1)))


def test_frames_bring_their_names():
    X, Y = wide_problem(n=100, missing=0.2)
    table = pd.DataFrame(np.hstack([X, Y]), columns=[*"abcdefgh", "u", "v", "w"])
    frame = dd.from_pandas(table, npartitions=4)
    moments = Moments.from_dask(frame[list("abcdefgh")], frame[["u", "v", "w"]])
    assert moments.feature_names == tuple("abcdefgh")
    assert_same_moments(moments, Moments.from_arrays(X, Y, task_names=["u", "v", "w"]))


def test_the_task_may_be_a_column():
    X, Y = wide_problem(n=90, q=1)
    task = np.repeat(["b", "a", "c"], 30)
    table = pd.DataFrame(X).assign(y=Y[:, 0], w=np.linspace(1, 2, 90), task=task)
    frame = dd.from_pandas(table, npartitions=5)
    moments = Moments.from_dask(frame[list(range(8))], frame["y"], frame["w"], task=frame["task"])
    expected = Moments.from_chunks([(X, Y, np.linspace(1, 2, 90), task)])
    assert_same_moments(moments.select(["a", "b", "c"]), expected.select(["a", "b", "c"]))


def test_what_does_not_fit_together_is_refused():
    X, Y = wide_problem(n=60)
    blocks = da.from_array(X, chunks=(20, -1))
    with pytest.raises(DataError, match="not a Dask"):
        Moments.from_dask(blocks, Y)
    with pytest.raises(DataError, match="Targets are missing"):
        Moments.from_dask(blocks, None)
    with pytest.raises(DataError, match="60 rows, but Y has 50"):
        Moments.from_dask(blocks, da.from_array(Y[:50], chunks=(20, -1)))
    X[33, 2] = np.nan
    with pytest.raises(DataError, match="Block 1 of rows: feature 2 is NaN"):
        Moments.from_dask(da.from_array(X, chunks=(20, -1)), da.from_array(Y, chunks=(20, -1)))


def test_without_dask_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(MissingPackageError, match="pip install"):
        Moments.from_dask(None, None)


def test_blocks_that_features_and_targets_are_cut_from_are_made_once():
    X, Y = wide_problem(n=60)
    made = []

    def block(start):
        made.append(start)
        return np.hstack([X, Y])[start : start + 20]

    parts = [da.from_delayed(dask.delayed(block)(start), (20, 11), float) for start in (0, 20, 40)]
    rows = da.concatenate(parts)
    assert_same_moments(Moments.from_dask(rows[:, :8], rows[:, 8:]), Moments.from_arrays(X, Y))
    assert sorted(made) == [0, 20, 40]
