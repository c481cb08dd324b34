from __future__ import annotations

import sys

import numpy as np
import pytest
from problems import assert_same_moments, wide_problem

from polytask.errors import DataError, MissingPackageError, SettingError
from polytask.linear.arrow import chunks_of_files
from polytask.linear.moments import Moments

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

FEATURES, TARGETS = [f"x{j}" for j in range(8)], ["u", "v", "w"]


def table_of(X, Y, **more):
    columns = {name: X[:, j] for j, name in enumerate(FEATURES)}
    columns |= {name: pa.array(Y[:, k], from_pandas=True) for k, name in enumerate(TARGETS[: Y.shape[1]])}
    return pa.table(columns | more)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("batch_rows", [7, 1000])
def test_a_file_gives_the_moments_of_its_table(tmp_path, missing, batch_rows):
    X, Y = wide_problem(missing=missing)
    w = np.random.default_rng(0).uniform(0.5, 2, len(X))
    pq.write_table(table_of(X, Y, weight=w), tmp_path / "a.parquet", row_group_size=11)
    moments = Moments.from_parquet(
        tmp_path / "a.parquet", features=FEATURES, targets=TARGETS, weight="weight", batch_rows=batch_rows
    )
    assert moments.feature_names == tuple(FEATURES)
    assert_same_moments(moments, Moments.from_arrays(X, Y, w, task_names=TARGETS))


def test_files_folders_and_datasets_are_read_alike(tmp_path):
    import pyarrow.dataset as ds

    X, Y = wide_problem(missing=0.2)
    paths = []
    for part, rows in enumerate(np.array_split(np.arange(60), 3)):
        paths.append(tmp_path / f"{part}.parquet")
        pq.write_table(table_of(X[rows], Y[rows]), paths[-1])
    expected = Moments.from_arrays(X[:, [2, 0]], Y[:, [1]], task_names=["v"])
    in_memory = ds.dataset(table_of(X, Y))
    for source in (paths, tmp_path, str(tmp_path), ds.dataset(tmp_path), in_memory):
        assert_same_moments(Moments.from_parquet(source, features=["x2", "x0"], targets=["v"]), expected)


def test_whole_numbers_booleans_decimals_and_single_precision_are_numbers(tmp_path):
    X, Y = wide_problem()
    X[:, 0] = np.round(X[:, 0])
    X[:, 1] = X[:, 1] > 0
    X[:, 2] = X[:, 2].astype(np.float32)
    X[:, 3] = np.round(X[:, 3], 2)
    table = table_of(X, Y)
    for j, kind in enumerate([pa.int16(), pa.bool_(), pa.float32(), pa.decimal128(9, 2)]):
        table = table.set_column(j, f"x{j}", table.column(j).cast(kind))
    pq.write_table(table, tmp_path / "a.parquet")
    moments = Moments.from_parquet(tmp_path / "a.parquet", features=FEATURES, targets=TARGETS)
    assert_same_moments(moments, Moments.from_arrays(X, Y, task_names=TARGETS))


def test_the_task_may_be_a_column_or_a_folder(tmp_path):
    X, Y = wide_problem(q=1)
    task = np.where(np.arange(60) % 3 == 0, "b", "a")
    expected = Moments.from_chunks([(X, Y, None, task)])
    table = table_of(X, Y, task=pa.array(task).dictionary_encode())
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=7)
    pq.write_to_dataset(table, tmp_path / "folders", partition_cols=["task"])
    for source in ("a.parquet", "folders"):
        moments = Moments.from_parquet(
            tmp_path / source, features=FEATURES, targets=["u"], task="task", batch_rows=20
        )
        assert_same_moments(moments.select(["a", "b"]), expected.select(["a", "b"]))


@pytest.mark.parametrize("value", [None, np.nan, np.inf])
def test_a_feature_that_is_not_there_is_named_with_its_place(tmp_path, value):
    X, Y = wide_problem()
    table = table_of(X, Y)
    column = table.column("x3").to_pylist()
    column[25] = value
    table = table.set_column(3, "x3", pa.array(column))
    pq.write_table(table, tmp_path / "bad.parquet", row_group_size=10)
    with pytest.raises(DataError, match=r"'x3'.*row 25, row group 2, of .*bad\.parquet"):
        Moments.from_parquet(tmp_path / "bad.parquet", features=FEATURES, targets=TARGETS)


def test_columns_that_are_absent_or_text_are_refused(tmp_path):
    X, Y = wide_problem()
    pq.write_table(table_of(X, Y, colour=["red"] * 60), tmp_path / "a.parquet")
    for wrong in (
        {"features": ["x99"]},
        {"targets": ["t"]},
        {"weight": "none"},
        {"task": "none", "targets": ["u"]},
    ):
        with pytest.raises(DataError, match="There is no column"):
            Moments.from_parquet(
                tmp_path / "a.parquet", **({"features": FEATURES, "targets": TARGETS} | wrong)
            )
    with pytest.raises(DataError, match=r"'colour' of .* holds string, not numbers"):
        Moments.from_parquet(tmp_path / "a.parquet", features=["x0", "colour"], targets=TARGETS)


def test_settings_that_cannot_be_are_refused(tmp_path):
    X, Y = wide_problem()
    pq.write_table(table_of(X, Y), tmp_path / "a.parquet")
    with pytest.raises(SettingError, match="one target column"):
        Moments.from_parquet(tmp_path / "a.parquet", features=FEATURES, targets=TARGETS, task="x0")
    with pytest.raises(SettingError, match="batch_rows=0"):
        Moments.from_parquet(tmp_path / "a.parquet", features=FEATURES, targets=TARGETS, batch_rows=0)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(DataError, match="There is no file"):
        Moments.from_parquet(tmp_path / "none.parquet", features=["a"], targets=["b"])
    (tmp_path / "text.parquet").write_text("not Parquet")
    with pytest.raises(DataError, match="can't be read as Parquet"):
        Moments.from_parquet(tmp_path / "text.parquet", features=["a"], targets=["b"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no Parquet file"):
        Moments.from_parquet(tmp_path / "empty", features=["a"], targets=["b"])


def test_without_pyarrow_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match="pip install"):
        Moments.from_parquet("a.parquet", features=["a"], targets=["b"])


def test_filters_of_a_dataset_hold(tmp_path):
    import pyarrow.dataset as ds

    X, Y = wide_problem()
    pq.write_table(table_of(X, Y), tmp_path / "a.parquet", row_group_size=9)
    kept = X[:, 1] > np.median(X[:, 1])
    dataset = ds.dataset(tmp_path).filter(ds.field("x1") > float(np.median(X[:, 1])))
    moments = Moments.from_parquet(dataset, features=FEATURES, targets=TARGETS)
    assert_same_moments(moments, Moments.from_arrays(X[kept], Y[kept], task_names=TARGETS))


def test_a_file_that_lacks_a_column_is_named(tmp_path):
    X, Y = wide_problem()
    pq.write_table(table_of(X, Y), tmp_path / "a.parquet")
    pq.write_table(table_of(X, Y).drop_columns(["x5"]), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"There is no column 'x5' in .*b\.parquet"):
        Moments.from_parquet(tmp_path, features=FEATURES, targets=TARGETS)


def test_a_feature_may_be_a_folder(tmp_path):
    X, Y = wide_problem()
    X[:, 0] = np.arange(60) % 3
    table = table_of(X, Y)
    table = table.set_column(0, "x0", pa.array(X[:, 0].astype(int)))
    pq.write_to_dataset(table, tmp_path, partition_cols=["x0"])
    moments = Moments.from_parquet(tmp_path, features=FEATURES, targets=TARGETS)
    assert_same_moments(moments, Moments.from_arrays(X, Y, task_names=TARGETS))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"features": ["x0", "x1", "x0"], "targets": ["u"]}, "'x0' is named as a feature twice"),
        ({"features": ["x0", "u"], "targets": ["u"]}, "'u' is named as both a feature and a target"),
        ({"features": ["x0"], "targets": ["u"], "weight": "u"}, "both a target and the weight"),
        ({"features": [], "targets": ["u"]}, "features is empty"),
        ({"features": ["x0"], "targets": []}, "targets is empty"),
    ],
)
def test_columns_named_twice_or_not_at_all_are_refused(tmp_path, columns, message):
    pq.write_table(table_of(*wide_problem()), tmp_path / "a.parquet")
    with pytest.raises(SettingError, match=message):
        Moments.from_parquet(tmp_path / "a.parquet", **columns)


def test_a_single_name_is_no_list_of_names(tmp_path):
    pq.write_table(table_of(*wide_problem()), tmp_path / "a.parquet")
    with pytest.raises(SettingError, match="features='x0' must be a list"):
        next(chunks_of_files(tmp_path / "a.parquet", "x0", ["u"], None, None, 100))
    with pytest.raises(SettingError, match="targets='u' must be a list"):
        next(chunks_of_files(tmp_path / "a.parquet", ["x0"], "u", None, None, 100))
