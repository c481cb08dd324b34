from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from problems import wide_problem
from safetensors.numpy import save_file

from polytask.errors import DataError
from polytask.linear.moments import Moments


@pytest.mark.parametrize("feature_names", [None, tuple("abcdefgh")])
def test_what_is_loaded_is_what_was_saved(tmp_path, feature_names):
    X, Y = wide_problem(missing=0.2)
    moments = replace(Moments.from_arrays(X, Y, task_names=["é", "b", "c"]), feature_names=feature_names)
    moments.save(tmp_path / "new" / "file.moments")
    loaded = Moments.load(tmp_path / "new" / "file.moments")
    for name, value in vars(moments).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
    assert loaded.task_names == ("é", "b", "c")
    assert loaded.feature_names == feature_names
    assert loaded.n_rows.dtype == np.int64


def test_files_that_are_not_moments_are_refused(tmp_path):
    with pytest.raises(DataError, match="no file"):
        Moments.load(tmp_path / "none")
    (tmp_path / "text").write_text("not tensors")
    with pytest.raises(DataError, match="does not hold moments"):
        Moments.load(tmp_path / "text")
    save_file({"weight": np.ones(1)}, tmp_path / "other")
    with pytest.raises(DataError, match="does not hold moments"):
        Moments.load(tmp_path / "other")
    header = {"polytask.moments": json.dumps({"schema": 1, "task_names": [], "feature_names": None})}
    save_file({"weight": np.ones(1)}, tmp_path / "part", metadata=header)
    with pytest.raises(DataError, match="damaged"):
        Moments.load(tmp_path / "part")


def test_a_cut_file_is_refused(tmp_path):
    Moments.from_arrays(*wide_problem()).save(tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    (tmp_path / "cut").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="damaged"):
        Moments.load(tmp_path / "cut")


def test_a_newer_schema_is_refused(tmp_path):
    save_file({"weight": np.ones(1)}, tmp_path / "new", metadata={"polytask.moments": '{"schema": 99}'})
    with pytest.raises(DataError, match="schema 99"):
        Moments.load(tmp_path / "new")


def damaged(path, arrays=(), **header):
    """A file of good moments but for some arrays and entries of the header."""
    moments = Moments.from_arrays(*wide_problem(), task_names=["a", "b", "c"])
    names = [field for field in vars(moments) if not field.endswith("_names")]
    content = {name: np.array(getattr(moments, name)) for name in names} | dict(arrays)
    header = {"schema": 1, "task_names": ["a", "b", "c"], "feature_names": None} | header
    save_file(content, path, metadata={"polytask.moments": json.dumps(header)})
    return path


def test_an_undamaged_file_is_read(tmp_path):
    assert Moments.load(damaged(tmp_path / "good")).task_names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("arrays", "header"),
    [
        ({"gram": np.ones((1, 8, 7))}, {}),
        ({"weight": np.ones(2)}, {}),
        ({"xty": np.ones((2, 8))}, {}),
        ({"x_mean": np.ones(8)}, {}),
        ({"pattern": np.array([0, 0, 1])}, {}),
        ({"pattern": np.array([0, 0, -1])}, {}),
        ({"pattern": np.zeros(3)}, {}),
        ({"y_mean": np.array([1.0, np.nan, 0.0])}, {}),
        ({}, {"task_names": ["a", "b"]}),
        ({}, {"task_names": ["a", "b", "b"]}),
        ({}, {"task_names": "abc"}),
        ({}, {"task_names": None}),
        ({}, {"feature_names": ["x"]}),
        ({}, {"feature_names": 3}),
        ({}, {"schema": "1"}),
    ],
)
def test_what_does_not_fit_together_is_refused_with_the_name_of_the_file(tmp_path, arrays, header):
    with pytest.raises(DataError, match=r"broken\.file' does not hold moments, or is damaged"):
        Moments.load(damaged(tmp_path / "broken.file", arrays, **header))


@pytest.mark.parametrize("header", ['{"schema": 1}', "[]", "not json", "3"])
def test_headers_that_say_too_little_are_refused(tmp_path, header):
    save_file({"weight": np.ones(1)}, tmp_path / "file", metadata={"polytask.moments": header})
    with pytest.raises(DataError, match="file' does not hold moments"):
        Moments.load(tmp_path / "file")
