from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from polytask.data.long_tables import long_data, split_off_tasks
from polytask.errors import DataError, SettingError

TASKS = np.array(["b", "a", "b", "a"])
VALUES = np.arange(8.0).reshape(4, 2)


@pytest.mark.parametrize("column", ["school", 1, -2])
def test_the_task_column_of_a_frame_by_name_or_position(column):
    frame = pd.DataFrame({"u": VALUES[:, 0], "school": TASKS, "v": VALUES[:, 1]})
    for table in (frame, pl.from_pandas(frame)):
        features, names = split_off_tasks(table, column)
        assert type(features) is type(table)
        assert list(features.columns) == ["u", "v"]
        assert names.tolist() == TASKS.tolist()


def test_the_task_column_of_arrays_and_sparse_matrices():
    coded = np.column_stack([VALUES[:, 0], [2, 1, 2, 1], VALUES[:, 1]])
    for table in (coded, sparse.csr_matrix(coded), sparse.coo_array(coded)):
        features, names = split_off_tasks(table, 1)
        assert names.tolist() == ["2", "1", "2", "1"]
        dense = features.toarray() if sparse.issparse(features) else features
        np.testing.assert_array_equal(dense, VALUES)
    mixed = np.column_stack([VALUES.astype(object), TASKS])
    features, names = split_off_tasks(mixed, -1)
    assert features.dtype == float
    assert names.tolist() == TASKS.tolist()


def test_columns_that_are_not_there_and_empty_entries():
    frame = pd.DataFrame({"u": VALUES[:, 0], "school": TASKS})
    with pytest.raises(DataError, match="No column 'shool'"):
        split_off_tasks(frame, "shool")
    with pytest.raises(DataError, match="X has 2 columns"):
        split_off_tasks(frame, 5)
    with pytest.raises(SettingError, match="give its position"):
        split_off_tasks(VALUES, "school")
    with pytest.raises(DataError, match="empty in 1 of 4 rows"):
        split_off_tasks(frame.assign(school=["a", None, "b", "b"]), "school")


def test_different_entries_of_one_name_are_refused():
    entries = np.array([1, "1", 2, 2.0], dtype=object)
    frame = pd.DataFrame({"u": VALUES[:, 0], "school": entries})
    with pytest.raises(DataError, match="names the task '1' twice, as 1 and as '1'"):
        split_off_tasks(frame, "school")
    with pytest.raises(DataError, match="names the task '1' twice"):
        long_data(frame, np.arange(4.0), "school", None, None)
    with pytest.raises(DataError, match="names the task '1' twice"):
        long_data(frame.to_numpy(), np.arange(4.0), 1, None, None)
    # Whole numbers are one name, however they are stored.
    entries[1] = 1.0
    assert split_off_tasks(frame.assign(school=entries), "school")[1].tolist() == ["1", "1", "2", "2"]
