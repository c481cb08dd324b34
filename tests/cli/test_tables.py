from __future__ import annotations

import gzip
import sys

import numpy as np
import pandas as pd
import pytest

from polytask.cli.tables import check_writable, read_table, write_table
from polytask.errors import DataError, MissingPackageError, SettingError


@pytest.fixture
def write(tmp_path):
    def to(content, name="d.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to


@pytest.mark.parametrize(
    "text", ["a,b\n1,2.5\n", "a;b\n1;2.5\n", "a\tb\n1\t2.5\n", "\ufeffa,b\n1,2.5\n", "a,b\r\n1,2.5\r\n"]
)
def test_dialects(write, text):
    pd.testing.assert_frame_equal(read_table(write(text)), pd.DataFrame({"a": [1], "b": [2.5]}))


def test_names_with_separators_in_quotes(write):
    assert list(read_table(write('"a,b","c ""d"""\n1,2\n')).columns) == ["a,b", 'c "d"']


def test_packed(write):
    assert read_table(write(gzip.compress(b"a,b\n1,2\n"), "d.csv.gz")).shape == (1, 2)


def test_text_columns_stay_text(write):
    frame = read_table(write("t,x\n007,1\n,2\n"), text_columns=["t", "absent"])
    assert frame["t"][0] == "007"
    assert frame["t"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "cannot be read"),
        ("\n\n", "cannot be read"),
        ("a,b\n", "no rows"),
        ("a,b,a\n1,2,3\n", "more than one column named 'a'"),
        ("a,b\n1,2,3\n4,5,6\n", "cannot be read"),
        ("a,b\n1,2\n1,2,3\n", "cannot be read"),
        (b"a,b\n\xff\xfe,2\n", "not UTF-8"),
        (b"\xff\xd8\n1,2\n", "not UTF-8"),
    ],
)
def test_bad_csv_names_the_file(write, content, says):
    with pytest.raises(DataError, match=says) as caught:
        read_table(write(content))
    assert "d.csv'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_parquet_and_packed_files(write):
    for name in ("d.parquet", "d.csv.gz"):
        with pytest.raises(DataError, match="cannot be read"):
            read_table(write("this is text", name))


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match="no file"):
        read_table(tmp_path / "d.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="not a file"):
        read_table(tmp_path / "folder.csv")


@pytest.mark.parametrize("name", ["d.xlsx", "d", "d.json"])
def test_unknown_endings(tmp_path, name):
    with pytest.raises(SettingError, match="neither CSV"):
        read_table(tmp_path / name)


@pytest.mark.parametrize("name", ["d.csv", "d.tsv", "d.parquet"])
def test_round_trip(tmp_path, name):
    frame = pd.DataFrame({"a": [0.1, np.nan], "ä,b": ["x", 'y "z"']})
    write_table(frame, tmp_path / name)
    pd.testing.assert_frame_equal(read_table(tmp_path / name), frame)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_named_index_is_a_column(tmp_path):
    pd.DataFrame({"a": [1.0]}, index=pd.Index(["k"], name="key")).to_parquet(tmp_path / "d.parquet")
    assert list(read_table(tmp_path / "d.parquet").columns) == ["key", "a"]


def test_outputs_that_cannot_be_written(tmp_path):
    for name in ("p.xlsx", "p.csv.gz"):
        with pytest.raises(SettingError):
            check_writable(tmp_path / name)
    (tmp_path / "p.csv").mkdir()
    with pytest.raises(SettingError, match="folder"):
        check_writable(tmp_path / "p.csv")


def test_missing_packages_come_with_the_command(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match=r'pip install "polytask\[cli\]"'):
        read_table(write("a\n1\n"))
